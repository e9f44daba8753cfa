// The everyday sends, inline: the frame of a short message is written to the slate, and its request to the ring. The turn
// submits it; what the kernel does not take at once, it tells (gw_uring_front.h), and that is queued like any other
// (gw_send.c). So a short message needs neither a buffer of its connection nor a completion.
//
// The slate is wiped when a row of requests is opened. It holds chunks: a length, and frames for one send. The writer is
// the connection whose chunk is the last: its next message goes to the cursor, without a look at the connection. Length
// and request of the last chunk are written when the next begins, or when the writer ends.
//   cursor < limit => a short message has room
//   limit = NULL: nobody is the writer, and request is nobody's
//   no chunk is longer than a queue may be
// Owner and thread: the reactor's.
#ifndef GW_WRITER_H
#define GW_WRITER_H

#include "gw_reactor.h"

enum {
    GW_SLATE_BYTES_MAX = 1 << 16,   // and aligned to as many, so that 16 bits of an address tell where in the slate it is
    GW_SLATE_BYTES_MIN = 512,
    GW_CHUNK_HEADER_BYTES = 4,
    GW_SLATE_FRAME_BYTES_MAX = 2048,   // a longer one costs less in the queue
    GW_SHORT_HEADER_BYTES = 2,
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

// Sends what the slate has at data; the row is not full. The caller sets the request's length.
__attribute__((always_inline))
static inline struct io_uring_sqe *gw_conn_send_slate(struct gw_uring_front *front, struct gw_conn *conn,
                                                      const uint8_t *data) {
    struct io_uring_sqe *request = gw_uring_send_short(front, conn->slot, data);
    conn->request = (uint32_t)(uintptr_t)request;
    conn->epoch = front->epoch;
    return request;
}

// Length and request of the last chunk.
static inline void gw_writer_settle(struct gw_reactor *r) {
    struct gw_writer *w = &r->writer;
    const uint32_t bytes = (uint32_t)(w->cursor - w->chunk);
    memcpy(w->chunk - GW_CHUNK_HEADER_BYTES, &bytes, sizeof bytes);
    w->request->len = bytes;
    r->stats.bytes_out += bytes;
}

// A chunk of nothing follows.
static inline void gw_writer_end(struct gw_reactor *r) {
    struct gw_writer *w = &r->writer;
    if (w->limit != NULL) {
        gw_writer_settle(r);
        w->chunk = w->cursor = w->cursor + GW_CHUNK_HEADER_BYTES;
        w->request = &r->no_request;
        w->limit = NULL;
    }
}

// Where the next chunk's bytes begin.
static inline uint8_t *gw_writer_next(const struct gw_reactor *r) { return r->writer.cursor + GW_CHUNK_HEADER_BYTES; }

// They end at end, and are sent to the connection, which is silent; the row is not full.
__attribute__((always_inline))
static inline void gw_writer_begin(struct gw_reactor *r, struct gw_conn *conn, uint8_t *end) {
    struct gw_writer *w = &r->writer;
    uint8_t *const chunk = gw_writer_next(r);
    gw_writer_settle(r);
    w->chunk = chunk;
    w->cursor = end;
    w->request = gw_conn_send_slate(r->front, conn, chunk);
    w->id = conn->id;
    w->limit = r->slate_limit;
}

// Everything on the slate has left.
static inline void gw_writer_wipe(struct gw_reactor *r) {
    struct gw_writer *w = &r->writer;
    w->chunk = w->cursor = r->slate + GW_CHUNK_HEADER_BYTES;
    w->request = &r->no_request;
    w->limit = NULL;
    w->frame = NULL;
}

#endif
