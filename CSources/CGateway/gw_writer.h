// The everyday sends, inline: the frame of a short message is written to the slate, and its request to the ring. The turn
// submits it; what the kernel does not take at once, it tells (gw_uring_front.h), and that is queued like any other
// (gw_send.c). So a short message needs neither a buffer of its connection nor a completion.
//
// The slate is wiped when a row of requests is opened. It holds frames one behind the other, and a request sends a run of
// them: a connection's chunk, of which a frame for many is part of several. The writer is the connection whose chunk is the
// last: its next message goes to the cursor, without a look at the connection. The chunk's length is written when the next
// begins, or when the writer ends. Whatever else is sent to a connection in the turn makes its chunk longer (gw_send.c).
//   cursor < limit => a short message has room in the chunk
//   cursor < slate_limit => a chunk may begin there, and has all its room
//   limit = NULL: nobody is the writer, and request is nobody's
//   conn->epoch = front->epoch, the row is open, nothing is queued => the connection's request is in the row, and all of
//   its chunk, but for the writer's, is chunk_bytes long
//   no chunk is longer than a queue may be
// Owner and thread: the reactor's.
#ifndef GW_WRITER_H
#define GW_WRITER_H

#include "gw_reactor.h"

enum {
    GW_SLATE_BYTES = 1 << 20,          // where chunks may begin
    GW_CHUNK_BYTES_MAX = UINT16_MAX,
    GW_SLATE_BYTES_MIN = 512,
    GW_SLATE_FRAME_BYTES_MAX = 2048,   // a longer one costs less in the queue
    GW_SLATE_AHEAD_BYTES = 512,
    GW_CACHE_LINE_BYTES = 64,
    GW_SHORT_HEADER_BYTES = 2,
    GW_LONGER_HEADER_BYTES = 4,
    GW_SHORT_FRAME_BYTES_MAX = GW_SHORT_HEADER_BYTES + GW_WS_CONTROL_BYTES_MAX,
};

// Copies up to 125 bytes without a call; touches nothing beyond them.
__attribute__((always_inline))
static inline void gw_copy_short(uint8_t *to, const uint8_t *from, uint32_t length) {
    if (length >= 16) {
        for (uint32_t at = 0; at + 16 < length; at += 16) {
            memcpy(to + at, from + at, 16);
        }
        memcpy(to + length - 16, from + length - 16, 16);
    } else if (length >= 8) {
        uint64_t head, tail;
        memcpy(&head, from, 8);
        memcpy(&tail, from + length - 8, 8);
        memcpy(to, &head, 8);
        memcpy(to + length - 8, &tail, 8);
    } else {
        for (uint32_t at = 0; at < length; at++) {
            to[at] = from[at];
        }
    }
}

// Where the next message is written the first cache has nothing yet: what longer ones take of the slate is soon more than it
// holds. So the lines behind one are asked for while it is copied.
static inline void gw_slate_fetch(const uint8_t *behind) {
    for (uint32_t at = 0; at < GW_SLATE_AHEAD_BYTES; at += GW_CACHE_LINE_BYTES) {
        __builtin_prefetch(behind + at, 1);
    }
}

static inline int gw_opcode_is_sendable(enum gw_opcode opcode) {
    return (uint32_t)opcode - GW_TEXT <= GW_BINARY - GW_TEXT;
}

// Writes the frame of a short message; returns where it ends.
__attribute__((always_inline))
static inline uint8_t *gw_write_short(uint8_t *frame, enum gw_opcode opcode, const uint8_t *data, uint64_t length) {
    frame[0] = (uint8_t)(0x80 | opcode);
    frame[1] = (uint8_t)length;
    gw_copy_short(frame + GW_SHORT_HEADER_BYTES, data, (uint32_t)length);
    return frame + GW_SHORT_HEADER_BYTES + length;
}

// Whether what is sent to the connection now may leave with the turn, ahead of everything: nothing is queued, under way,
// or written in this epoch.
static inline int gw_conn_is_silent(const struct gw_conn *conn, const struct gw_uring_front *front) {
    return gw_conn_is_open_without(conn, GW_CONN_SENDING | GW_CONN_DIRTY) && conn->epoch != front->epoch;
}

// Whether what is sent to it now may leave with what was written for it in this epoch.
static inline int gw_conn_is_written(const struct gw_conn *conn, const struct gw_uring_front *front) {
    return gw_conn_is_open_without(conn, GW_CONN_SENDING | GW_CONN_DIRTY) && conn->epoch == front->epoch && front->row_open;
}
static inline struct io_uring_sqe *gw_conn_written(const struct gw_conn *conn, const struct gw_uring_front *front) {
    const uint32_t offset = conn->request - (uint32_t)(uintptr_t)front->requests;
    return (struct io_uring_sqe *)((uint8_t *)front->requests + offset);
}

// Sends what the slate has at data; the row is not full. The caller sets the length, of the request and of the chunk.
__attribute__((always_inline))
static inline struct io_uring_sqe *gw_conn_send_slate(struct gw_uring_front *front, struct gw_conn *conn,
                                                      const uint8_t *data) {
    struct io_uring_sqe *request = gw_uring_send_short(front, conn->slot, data);
    conn->request = (uint32_t)(uintptr_t)request;
    conn->epoch = front->epoch;
    return request;
}

// The length of the last chunk.
static inline void gw_writer_settle(struct gw_reactor *r) {
    struct gw_writer *w = &r->writer;
    const uint32_t bytes = (uint32_t)((uintptr_t)w->cursor - w->request->addr);
    w->request->len = bytes;
    *w->chunk_bytes = (uint16_t)bytes;
    r->stats.bytes_out += bytes;
}

// Nobody's chunk of nothing is the last.
static inline void gw_writer_rest(struct gw_reactor *r) {
    struct gw_writer *w = &r->writer;
    r->no_request.addr = (uint64_t)(uintptr_t)w->cursor;
    w->request = &r->no_request;
    w->chunk_bytes = &r->no_bytes;
    w->limit = NULL;
}

static inline int gw_writer_is(const struct gw_writer *w, const struct gw_conn *conn) {
    return w->limit != NULL && w->id == conn->id;
}

static inline void gw_writer_end(struct gw_reactor *r) {
    if (r->writer.limit != NULL) {
        gw_writer_settle(r);
        gw_writer_rest(r);
    }
}

// What was written from the cursor to end is a chunk for the connection, which is silent; the row is not full.
__attribute__((always_inline))
static inline void gw_writer_begin(struct gw_reactor *r, struct gw_uring_front *front, struct gw_conn *conn, uint8_t *end) {
    struct gw_writer *w = &r->writer;
    uint8_t *const chunk = w->cursor;
    gw_writer_settle(r);
    w->cursor = end;
    w->request = gw_conn_send_slate(front, conn, chunk);
    w->chunk_bytes = &conn->chunk_bytes;
    w->id = conn->id;
    w->limit = chunk + r->chunk_room;
}

// Everything on the slate has left.
static inline void gw_writer_wipe(struct gw_reactor *r) {
    r->writer.cursor = r->slate;
    r->writer.frame = NULL;
    gw_writer_rest(r);
}

#endif
