// A connection's outbound queue: encoded frames in counted buffers, waiting for the socket.
//
// Small frames are appended to the last buffer while it has room, so that what a turn queues leaves in one
// send. A frame that many connections share is queued by reference; a small one behind others is copied
// instead, because a reference costs an iovec and more.
//
// Owner: one connection; references come from its reactor's slab. No thread but the reactor's.
//   bytes = sum of the lengths of all queued buffers - offset: what the peer has not taken yet
//   offset < length of the first buffer
//   bytes = 0 <=> first = NULL: an idle connection holds no buffer
//   a buffer in the queue has one holder, the queue; it grows behind its end only: a send under way reads the rest
// The bound is the caller's, who checks bytes before it appends.
#ifndef GW_OUTBOUND_H
#define GW_OUTBOUND_H

#include <string.h>
#include <sys/uio.h>

#include "gw_gateway.h"
#include "gw_pool.h"
#include "gw_ws.h"

// Stands in a queue for bytes that others hold too: no room, a link of its own.
struct gw_reference {
    struct gw_buf buf;     // size_class is one of these
    union {
        struct gw_buf *of;             // GW_REFERENCE_CLASS: a buffer of the pool
        struct gw_payload *lease;      // GW_LEASE_CLASS: a lease on a receive buffer
    };
};
enum { GW_LEASE_CLASS = 254, GW_REFERENCE_CLASS = 255 };

// Every reference of a reactor, reserved at start.
struct gw_reference_slab {
    struct gw_pool *pool;
    struct gw_reference *references;
    struct gw_reactor *leases; // whose the leases are; NULL: they are gone
    struct gw_buf *free;       // those given back
    uint32_t references_max;
    uint32_t touched;          // references below this have been used at least once
};

struct gw_outbound {
    struct gw_buf *first, *last;
    struct gw_buf *pong;   // the latest pong, encoded, while the queue is too long to take it
    uint32_t offset;       // bytes of the first buffer that the peer has taken
    uint32_t bytes;
};

int gw_reference_slab_init(struct gw_reference_slab *slab, struct gw_pool *pool, uint32_t references_max,
                           struct gw_reactor *leases);
void gw_reference_slab_deinit(struct gw_reference_slab *slab);

void gw_outbound_clear(struct gw_outbound *out, struct gw_reference_slab *slab);

// Room for exactly bytes at the queue's end, which the caller fills; NULL: no buffer is free.
uint8_t *gw_outbound_extend(struct gw_outbound *out, struct gw_reference_slab *slab, uint32_t bytes);

// The same without asking the pool; NULL: the last buffer has no such room.
static inline uint8_t *gw_outbound_extend_last(struct gw_outbound *out, uint32_t bytes) {
    struct gw_buf *last = out->last;
    if (last == NULL || gw_buf_room(last) < bytes) {
        return NULL;
    }
    uint8_t *room = last->data + last->end;
    last->end += bytes;
    out->bytes += bytes;
    return room;
}

// Room for at most GW_BUF_SMALL_BYTES, without a call. NULL: extend may have it.
static inline uint8_t *gw_outbound_extend_short(struct gw_outbound *out, struct gw_reference_slab *slab,
                                                uint32_t bytes) {
    if (out->last != NULL) {
        return gw_outbound_extend_last(out, bytes);
    }
    struct gw_buf *buf = gw_buf_acquire_small(slab->pool);
    if (buf == NULL) {
        return NULL;
    }
    buf->end = bytes;
    out->first = out->last = buf;
    out->bytes = bytes;
    return buf->data;
}

// 0 or GW_ENOBUFS.
static inline int gw_outbound_append_frame(struct gw_outbound *out, struct gw_reference_slab *slab,
                                           enum gw_ws_opcode opcode, const uint8_t *payload, uint32_t length) {
    uint8_t *room = gw_outbound_extend(out, slab, (uint32_t)gw_ws_header_bytes(length) + length);
    if (room == NULL) {
        return GW_ENOBUFS;
    }
    room += gw_ws_encode_header(room, opcode, length);
    if (length > 0) {
        memcpy(room, payload, length);
    }
    return 0;
}
int gw_outbound_append_bytes(struct gw_outbound *out, struct gw_reference_slab *slab, const void *data,
                             uint32_t length);
// Queues the bytes ahead of all others, none of which are under way. After an error a part of them may be queued.
int gw_outbound_put_back(struct gw_outbound *out, struct gw_reference_slab *slab, const uint8_t *data, uint32_t bytes);
int gw_outbound_append_shared(struct gw_outbound *out, struct gw_reference_slab *slab, struct gw_buf *buf);
// The same for bytes that lie in a buffer of the pool, or in a receive buffer with a lease. The queue takes over a count of
// `of`, or the lease, unless it fails.
int gw_outbound_append_part(struct gw_outbound *out, struct gw_reference_slab *slab, struct gw_buf *of, uint8_t *data,
                            uint32_t bytes);
int gw_outbound_append_leased(struct gw_outbound *out, struct gw_reference_slab *slab, struct gw_payload *lease, uint8_t *data,
                              uint32_t bytes);

// Keeps one pong outside the queue, in the place of an earlier one (RFC 6455 section 5.5.3 allows to answer
// only the latest ping), and later moves it into the queue. Holding does nothing when no buffer is free.
void gw_outbound_hold_pong(struct gw_outbound *out, struct gw_reference_slab *slab, const uint8_t *payload,
                           uint32_t length);
void gw_outbound_queue_pong(struct gw_outbound *out);

// What to send next, in at most max pieces; returns their number. The bytes stay queued until consumed.
unsigned gw_outbound_peek(const struct gw_outbound *out, struct iovec *iov, unsigned max);
void gw_outbound_consume(struct gw_outbound *out, struct gw_reference_slab *slab, uint32_t bytes);

void gw_outbound_end_lease(struct gw_reference_slab *slab, struct gw_reference *reference);

// Gives up a buffer that has left the queue.
static inline void gw_outbound_release(struct gw_reference_slab *slab, struct gw_buf *buf) {
    if (buf->size_class < GW_LEASE_CLASS) {
        buf->next = NULL;
        gw_buf_release_inline(slab->pool, buf);
        return;
    }
    if (__builtin_expect(buf->size_class == GW_LEASE_CLASS, 0)) {
        gw_outbound_end_lease(slab, (struct gw_reference *)buf);
    } else {
        gw_buf_release_inline(slab->pool, ((struct gw_reference *)buf)->of);
    }
    buf->next = slab->free;
    slab->free = buf;
}

// The same as consume for a queue of one buffer that leaves whole. False: it is another, and nothing is done.
static inline int gw_outbound_consume_only(struct gw_outbound *out, struct gw_reference_slab *slab, uint32_t bytes) {
    struct gw_buf *only = out->first;
    if (bytes != out->bytes || only == NULL || only != out->last) {
        return 0;
    }
    out->first = out->last = NULL;
    out->offset = out->bytes = 0;
    gw_outbound_release(slab, only);
    return 1;
}

#endif
