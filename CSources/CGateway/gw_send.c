// What the caller sends: messages, frames shared by many connections, close frames. Everything is queued here
// and leaves with the next turn, in one send a connection (gw_writer.h has its request written already).
// Owner and thread: the connection's reactor's.
#include <string.h>

#include "gw_writer.h"

static struct gw_conn *gw_conn_find(struct gw_reactor *r, gw_conn_id id) {
    const uint32_t slot = (uint32_t)id;
    if (slot >= r->connections_max) {
        return NULL;
    }
    struct gw_conn *conn = &r->conns[slot];
    return conn->id == id && (conn->flags & GW_CONN_OPENED) ? conn : NULL;
}

// The caller is told GW_EVENT_WRITABLE: by the send under way when it drains the queue, else by a short timer,
// because nobody tells when the pool has a buffer again.
static int gw_conn_refuse_send(struct gw_reactor *r, struct gw_conn *conn, int error) {
    conn->flags |= GW_CONN_WANTS_WRITABLE;
    if (error == GW_ENOBUFS) {
        gw_conn_starve(r, conn);
    }
    return error;
}

static int gw_conn_queue_full(const struct gw_reactor *r, const struct gw_conn *conn) {
    return conn->out.bytes >= r->outbound_bytes_max;
}

static int gw_send_done(struct gw_reactor *r, struct gw_conn *conn, int error) {
    if (error != 0) {
        return gw_conn_refuse_send(r, conn, error);
    }
    r->stats.messages_out++;
    gw_reactor_make_dirty(r, conn);
    return 0;
}

static int gw_frame_fits(const struct gw_reactor *r, uint64_t length) { return length <= r->frame_payload_max; }

// Makes a connection for which the turn has written already the writer again, if its chunk and so many bytes more have room at
// the slate's end. A chunk that is not the last becomes so by a copy.
__attribute__((noinline))
static int gw_writer_return(struct gw_reactor *r, struct gw_conn *conn, uint32_t bytes) {
    struct gw_writer *w = &r->writer;
    gw_writer_end(r);
    struct io_uring_sqe *request = gw_conn_written(conn, r->front);
    const uint8_t *chunk = (const uint8_t *)(uintptr_t)request->addr;
    const uint32_t moved = chunk + conn->chunk_bytes != w->cursor ? conn->chunk_bytes : 0;
    if (moved > GW_SLATE_FRAME_BYTES_MAX || w->cursor >= r->slate_limit || conn->chunk_bytes + bytes >= r->chunk_room) {
        return 0;
    }
    if (moved > 0) {
        memcpy(w->cursor, chunk, moved);
        gw_uring_move_short(request, w->cursor);
        w->cursor += moved;
    }
    r->stats.bytes_out -= conn->chunk_bytes;   // they are counted with all of the chunk
    w->request = request;
    w->chunk_bytes = &conn->chunk_bytes;
    w->id = conn->id;
    w->limit = w->cursor - conn->chunk_bytes + r->chunk_room;
    return 1;
}

// Whatever is not an everyday send: a refusal, a longer message, a connection that compresses.
__attribute__((noinline))
static int gw_conn_send_slow(struct gw_reactor *r, struct gw_conn *conn, enum gw_opcode opcode, const uint8_t *data,
                             uint64_t length) {
    if (!(conn->flags & GW_CONN_OPENED)) {
        return GW_ENOCONN;
    }
    if (conn->phase != GW_PHASE_OPEN) {
        return GW_ECLOSING;
    }
    if (!gw_opcode_is_sendable(opcode)) {
        return GW_EINVAL;
    }
    if (!gw_frame_fits(r, length)) {
        return GW_ETOOBIG;
    }
    if (gw_conn_queue_full(r, conn)) {
        return gw_conn_refuse_send(r, conn, GW_EFULL);
    }
    if (conn->decoder.deflate && length >= r->compression.threshold_bytes) {
        return gw_send_done(r, conn, gw_compression_append(r, conn, (enum gw_ws_opcode)opcode, data, (uint32_t)length));
    }
    return gw_send_done(r, conn, gw_outbound_append_frame(&conn->out, &r->references, (enum gw_ws_opcode)opcode, data,
                                                          (uint32_t)length));
}

// Whether so many bytes have room at the cursor, as the beginning or the end of the connection's chunk.
static inline int gw_writer_takes(struct gw_reactor *r, struct gw_conn *conn, int is_first, uint32_t bytes) {
    struct gw_writer *w = &r->writer;
    if (is_first) {
        return w->cursor < r->slate_limit && bytes <= r->chunk_bytes_max && gw_uring_wrap_row(r->front);
    }
    return gw_writer_is(w, conn) ? w->cursor + bytes < w->limit
         : gw_conn_is_written(conn, r->front) && gw_writer_return(r, conn, bytes);
}

// A message that is not short, from the slate all the same, unless it is too long or has to wait.
__attribute__((noinline))
static int gw_conn_send_longer(struct gw_reactor *r, struct gw_conn *conn, enum gw_opcode opcode, const uint8_t *data,
                               uint64_t length) {
    struct gw_writer *w = &r->writer;
    const uint32_t bytes = GW_LONGER_HEADER_BYTES + (uint32_t)length;
    const int is_first = gw_conn_is_silent(conn, r->front);
    if (length > GW_SLATE_FRAME_BYTES_MAX - GW_LONGER_HEADER_BYTES || !gw_opcode_is_sendable(opcode)
        || (conn->decoder.deflate && length >= r->compression.threshold_bytes)
        || !gw_writer_takes(r, conn, is_first, bytes)) {
        return gw_conn_send_slow(r, conn, opcode, data, length);
    }
    uint8_t *const frame = w->cursor;
    const uint8_t header[] = { (uint8_t)(0x80 | opcode), 126, (uint8_t)(length >> 8), (uint8_t)length };
    gw_slate_fetch(frame + bytes);
    memcpy(frame, header, sizeof header);
    memcpy(frame + sizeof header, data, length);
    if (is_first) {
        gw_writer_begin(r, r->front, conn, frame + bytes);
    } else {
        w->cursor = frame + bytes;
    }
    r->stats.messages_out++;
    return 0;
}

// A short message that waits for the turn.
__attribute__((noinline))
static int gw_conn_send_queued(struct gw_reactor *r, struct gw_conn *conn, enum gw_opcode opcode, const uint8_t *data,
                               uint64_t length) {
    if (conn->phase == GW_PHASE_OPEN && gw_opcode_is_sendable(opcode) && !gw_conn_queue_full(r, conn)) {
        uint8_t *room = gw_outbound_extend_short(&conn->out, &r->references, GW_SHORT_HEADER_BYTES + (uint32_t)length);
        if (room != NULL) {
            gw_write_short(room, opcode, data, length);
            r->stats.messages_out++;
            gw_reactor_make_dirty(r, conn);
            return 0;
        }
    }
    return gw_conn_send_slow(r, conn, opcode, data, length);
}

// A short message to somebody for whom the turn has written already.
__attribute__((noinline))
static int gw_conn_send_behind(struct gw_reactor *r, struct gw_conn *conn, enum gw_opcode opcode, const uint8_t *data,
                               uint64_t length) {
    return gw_opcode_is_sendable(opcode) && gw_writer_return(r, conn, 0)
         ? gw_conn_send(r, conn->id, opcode, data, length) : gw_conn_send_queued(r, conn, opcode, data, length);
}

// The row is full: it may go on at the ring's beginning.
__attribute__((noinline))
static int gw_conn_send_wrapped(struct gw_reactor *r, struct gw_conn *conn, enum gw_opcode opcode, const uint8_t *data,
                                uint64_t length) {
    return gw_uring_wrap_row(r->front) ? gw_conn_send(r, conn->id, opcode, data, length)
                                       : gw_conn_send_queued(r, conn, opcode, data, length);
}

// A short message to somebody who is not the writer and becomes it. Calls nothing it comes back from, and so saves no
// register.
__attribute__((noinline))
static int gw_conn_send_first(struct gw_reactor *r, struct gw_conn *conn, enum gw_opcode opcode, const uint8_t *data,
                              uint64_t length) {
    struct gw_writer *w = &r->writer;
    struct gw_uring_front *front = r->front;
    if (length > GW_WS_CONTROL_BYTES_MAX) {
        return gw_conn_send_longer(r, conn, opcode, data, length);
    }
    if (!gw_conn_is_silent(conn, front)) {
        return gw_conn_is_written(conn, front) ? gw_conn_send_behind(r, conn, opcode, data, length)
                                               : gw_conn_send_queued(r, conn, opcode, data, length);
    }
    if (w->cursor >= r->slate_limit || !gw_opcode_is_sendable(opcode)) {
        return gw_conn_send_queued(r, conn, opcode, data, length);
    }
    if (gw_uring_row_is_full(front)) {
        return gw_conn_send_wrapped(r, conn, opcode, data, length);
    }
    gw_writer_begin(r, front, conn, gw_write_short(w->cursor, opcode, data, length));
    r->stats.messages_out++;
    return 0;
}

int gw_conn_send(struct gw_reactor *r, gw_conn_id id, enum gw_opcode opcode, const uint8_t *data, uint64_t length) {
    struct gw_writer *w = &r->writer;
    if (id == w->id && w->cursor < w->limit && length <= GW_WS_CONTROL_BYTES_MAX && gw_opcode_is_sendable(opcode)) {
        w->cursor = gw_write_short(w->cursor, opcode, data, length);
        r->stats.messages_out++;
        return 0;
    }
    const uint32_t slot = (uint32_t)id;
    if (slot >= r->connections_max || r->conns[slot].id != id) {
        return GW_ENOCONN;
    }
    return gw_conn_send_first(r, &r->conns[slot], opcode, data, length);
}

// A frame is nothing but the buffer it was encoded into.
static struct gw_buf *gw_frame_buf(struct gw_frame *frame) { return (struct gw_buf *)frame; }

int gw_frame_create(struct gw_reactor *r, enum gw_opcode opcode, const uint8_t *data, uint64_t length,
                    struct gw_frame **frame) {
    *frame = NULL;
    if (!gw_opcode_is_sendable(opcode)) {
        return GW_EINVAL;
    }
    if (!gw_frame_fits(r, length)) {
        return GW_ETOOBIG;
    }
    struct gw_buf *buf = gw_buf_acquire(r->pool, (uint32_t)(gw_ws_header_bytes(length) + length));
    if (buf == NULL) {
        return GW_ENOBUFS;
    }
    buf->end = (uint32_t)gw_ws_encode_header(buf->data, (enum gw_ws_opcode)opcode, length);
    if (length > 0) {
        memcpy(buf->data + buf->end, data, length);
        buf->end += (uint32_t)length;
    }
    *frame = (struct gw_frame *)buf;
    r->writer.frame = NULL;   // it may have been at the same place
    return 0;
}

__attribute__((noinline))
static int gw_conn_send_frame_queued(struct gw_reactor *r, gw_conn_id id, struct gw_frame *frame) {
    struct gw_conn *conn = gw_conn_find(r, id);
    gw_writer_end(r);
    if (conn == NULL) {
        return GW_ENOCONN;
    }
    if (conn->phase != GW_PHASE_OPEN) {
        return GW_ECLOSING;
    }
    if (gw_conn_queue_full(r, conn)) {
        return gw_conn_refuse_send(r, conn, GW_EFULL);
    }
    return gw_send_done(r, conn, gw_outbound_append_shared(&conn->out, &r->references, gw_frame_buf(frame)));
}

// Writes a frame to the slate, once for all whom it is sent to one after the other.
static int gw_writer_write_frame(struct gw_reactor *r, const struct gw_frame *frame, const struct gw_buf *buf) {
    struct gw_writer *w = &r->writer;
    const uint32_t bytes = gw_buf_length(buf);
    gw_writer_end(r);
    if (bytes > GW_SLATE_FRAME_BYTES_MAX || bytes > r->chunk_bytes_max || w->cursor >= r->slate_limit) {
        return 0;
    }
    w->frame = frame;
    w->frame_data = w->cursor;
    w->frame_bytes = bytes;
    memcpy(w->cursor, buf->data + buf->start, bytes);
    w->cursor += bytes;
    gw_writer_rest(r);
    return 1;
}

// Tries again once there is what was missing.
__attribute__((noinline))
static int gw_conn_send_frame_slow(struct gw_reactor *r, gw_conn_id id, struct gw_frame *frame) {
    const int had_writer = r->writer.limit != NULL, was_full = gw_uring_row_is_full(r->front);
    gw_writer_end(r);
    const int wrote = r->writer.frame != frame && gw_writer_write_frame(r, frame, gw_frame_buf(frame));
    const int wrapped = was_full && gw_uring_wrap_row(r->front);
    return had_writer || wrote || wrapped ? gw_conn_send_frame(r, id, frame) : gw_conn_send_frame_queued(r, id, frame);
}

// The frame does not lie behind what the turn has written for the connection before.
__attribute__((noinline))
static int gw_conn_send_frame_copied(struct gw_reactor *r, struct gw_conn *conn, struct gw_frame *frame) {
    struct gw_writer *w = &r->writer;
    if (!gw_writer_return(r, conn, w->frame_bytes)) {
        return gw_conn_send_frame_queued(r, conn->id, frame);
    }
    memcpy(w->cursor, w->frame_data, w->frame_bytes);
    w->cursor += w->frame_bytes;
    r->stats.messages_out++;
    return 0;
}

int gw_conn_send_frame(struct gw_reactor *r, gw_conn_id id, struct gw_frame *frame) {
    struct gw_writer *w = &r->writer;
    struct gw_uring_front *front = r->front;
    const uint32_t slot = (uint32_t)id;
    if (slot >= r->connections_max) {
        return GW_ENOCONN;
    }
    struct gw_conn *conn = &r->conns[slot];
    if (conn->id != id || w->frame != frame || !gw_conn_is_open_without(conn, GW_CONN_SENDING | GW_CONN_DIRTY)) {
        return gw_conn_send_frame_slow(r, id, frame);
    }
    const uint32_t bytes = w->frame_bytes;
    if (conn->epoch != front->epoch && !gw_uring_row_is_full(front)) {
        conn->chunk_bytes = (uint16_t)bytes;
        gw_conn_send_slate(front, conn, w->frame_data)->len = bytes;
    } else {
        // What the turn has written for the connection before goes on with the frame, if it lies behind.
        if (!gw_conn_is_written(conn, front) || w->limit != NULL) {
            return gw_conn_send_frame_slow(r, id, frame);
        }
        struct io_uring_sqe *request = gw_conn_written(conn, front);
        if (request->addr + conn->chunk_bytes != (uintptr_t)w->frame_data || conn->chunk_bytes + bytes > r->chunk_bytes_max) {
            return gw_conn_send_frame_copied(r, conn, frame);
        }
        conn->chunk_bytes = (uint16_t)(conn->chunk_bytes + bytes);
        request->len = conn->chunk_bytes;
    }
    r->stats.bytes_out += bytes;
    r->stats.messages_out++;
    return 0;
}

// Whether a message is sent on from where it lies. What is short costs less to copy, and what must be compressed can't be.
// A peer that does not read holds what is queued to it; of receive buffers that is one a connection, and of all of them
// half (gw_lease.c).
static int gw_forward_is_wanted(const struct gw_reactor *r, const struct gw_conn *conn, const struct gw_event *event) {
    return event->kind == GW_EVENT_MESSAGE && gw_frame_fits(r, event->length) && conn->phase == GW_PHASE_OPEN
        && !conn->decoder.deflate && !gw_conn_queue_full(r, conn)
        && (event->lease != 0 || conn->out.bytes == 0);
}

// Bytes in front of the payload that are nobody's any more: its frame's header, or the room before a gathered message.
static uint32_t gw_forward_room(const struct gw_reactor *r, const struct gw_event *event) {
    if (event->lease != 0) {
        return (uint32_t)(event->data - r->event_bufs[event->lease - 1]->data);
    }
    return (uint32_t)((uintptr_t)(event->data - r->io->receive_memory) % r->io->receive_buffer_bytes);
}

__attribute__((noinline))
static int gw_conn_forward_long(struct gw_reactor *r, gw_conn_id id, const struct gw_event *event) {
    struct gw_conn *conn = gw_conn_find(r, id);
    const uint32_t header = (uint32_t)gw_ws_header_bytes(event->length), bytes = header + (uint32_t)event->length;
    struct gw_payload *payload = NULL;
    if (conn != NULL && gw_forward_is_wanted(r, conn, event) && gw_forward_room(r, event) >= header) {
        payload = gw_payload_acquire(r, event);
    }
    if (payload == NULL) {
        return gw_conn_send(r, id, (enum gw_opcode)event->opcode, event->data, event->length);
    }
    uint8_t *frame = (uint8_t *)event->data - header;
    (void)gw_ws_encode_header(frame, (enum gw_ws_opcode)event->opcode, event->length);
    const int error = event->lease != 0
        ? gw_outbound_append_part(&conn->out, &r->references, (struct gw_buf *)payload, frame, bytes)
        : gw_outbound_append_leased(&conn->out, &r->references, payload, frame, bytes);
    if (error != 0) {
        gw_payload_release(r, payload);
    }
    return gw_send_done(r, conn, error);
}

int gw_conn_forward(struct gw_reactor *r, gw_conn_id id, const struct gw_event *event) {
    return event->length < r->forward_bytes_min
         ? gw_conn_send(r, id, (enum gw_opcode)event->opcode, event->data, event->length)
         : gw_conn_forward_long(r, id, event);
}

void gw_frame_release(struct gw_reactor *r, struct gw_frame *frame) {
    gw_buf_release(r->pool, gw_frame_buf(frame));
}

// RFC 6455 section 7.4: what an endpoint may put into a close frame.
static int gw_close_code_is_sendable(uint16_t code) {
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006)
        || (code >= 3000 && code <= 4999);
}

int gw_conn_close(struct gw_reactor *r, gw_conn_id id, uint16_t code, const char *reason) {
    struct gw_conn *conn = gw_conn_find(r, id);
    if (conn == NULL) {
        return GW_ENOCONN;
    }
    const size_t bytes = reason != NULL ? strlen(reason) : 0;
    if (!gw_close_code_is_sendable(code) || bytes > GW_WS_CONTROL_BYTES_MAX - sizeof code) {
        return GW_EINVAL;
    }
    gw_writer_end(r);
    if (conn->phase == GW_PHASE_OPEN) {
        gw_conn_begin_close(r, conn, code, reason, bytes);
    }
    return 0;
}

int gw_conn_set_idle(struct gw_reactor *r, gw_conn_id id, uint32_t idle_ms) {
    struct gw_conn *conn = gw_conn_find(r, id);
    if (conn == NULL) {
        return GW_ENOCONN;
    }
    gw_conn_set_idle_ticks(r, conn, gw_deadline_ticks(idle_ms));
    return 0;
}

int gw_conn_trust(struct gw_reactor *r, gw_conn_id id) {
    const struct gw_conn *conn = gw_conn_find(r, id);
    if (conn == NULL) {
        return GW_ENOCONN;
    }
    gw_gathering_trust(r, conn);
    gw_peers_leave(&r->peers, conn->slot);
    return 0;
}

uint64_t gw_conn_peer(struct gw_reactor *r, gw_conn_id id) {
    const struct gw_conn *conn = gw_conn_find(r, id);
    return conn == NULL ? 0 : gw_peers_of(&r->peers, conn->slot);
}
