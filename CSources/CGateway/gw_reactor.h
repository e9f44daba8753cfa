// What the files of CGateway share: the reactor's insides. One frame's way through them:
//
//   gw_reactor.c   the turn: io events in, connections that have something to do are made ready, events out
//   gw_everyday.h  the same for most of them, inline
//   gw_inbound.c   receive buffers -> handshake -> codec -> gw_event
//   gw_send.c      the caller's sends -> gw_outbound.c's queue
//   gw_writer.h    most of them, inline, straight to their requests
//   gw_conn.c      a connection's phases and deadlines; the queue -> gw_io_send
//   gw_compression.c  the streams of those connections that compress
//   gw_gathering.c what messages that are not yet whole may hold
//   gw_lease.c     payloads kept past their turn
//   gw_peers.c     how many connections of an address have yet to say who they are
//
// Owner: whoever created it. Thread: the one that calls gw_reactor_turn. Every array is allocated at create.
#ifndef GW_REACTOR_H
#define GW_REACTOR_H

#include "gw_compression.h"
#include "gw_conn.h"
#include "gw_gathering.h"
#include "gw_gateway.h"
#include "gw_handshake.h"
#include "gw_io.h"
#include "gw_outbound.h"
#include "gw_peers.h"
#include "gw_pool.h"
#include "gw_timer.h"
#include "gw_uring_front.h"

enum { GW_IO_EVENTS = 1024, GW_ACCEPT_RETRY_MS = 100, GW_FORWARD_BYTES_MIN = 4096 };

// A receive buffer, while it is not the kernel's: held by an input queue or as spent, and by leases.
struct gw_received {
    uint32_t next;            // in the input queue
    uint32_t start, end;      // bytes not yet decoded
    uint16_t leases;
    uint8_t held;             // by the reactor; kept up only while there are leases
};

// See gw_writer.h.
struct gw_writer {
    gw_conn_id id;
    uint8_t *cursor;
    const uint8_t *limit;
    struct io_uring_sqe *request;
    uint16_t *chunk_bytes;         // the connection's
    const struct gw_frame *frame;  // the latest that was written to the slate, and where it lies
    const uint8_t *frame_data;
    uint32_t frame_bytes;
};

struct gw_reactor {
    struct gw_io *io;
    struct gw_uring_front *front;  // where everyday sends find requests
    struct gw_writer writer;
    const uint8_t *slate_limit;    // chunks begin before it
    size_t chunk_room;             // with so many bytes a chunk takes no other short message
    uint32_t chunk_bytes_max;
    int secure;                    // io is the TLS layer over a backend
    int io_refusal;                // -errno with which io_uring was refused to an automatic choice
    struct gw_pool *pool;
    struct gw_conn *conns;
    struct gw_received *received;
    struct gw_reference_slab references;
    struct gw_ws_config codec;

    struct gw_event *events;       // this turn's
    struct gw_event *event;        // the next of them
    struct gw_event *events_end;
    struct gw_event *short_end;    // where short messages stop going straight to events: here, or at once
    uint32_t longer_left;          // bytes of longer ones that still may, in this turn: one connection might answer all
    uint32_t longer_max;

    uint32_t *ready;               // slots with input to decode or an event to hand out, first come first served
    uint32_t ready_count;
    uint32_t *dirty;               // slots with bytes to send and no send under way
    uint32_t dirty_count;
    uint32_t *spent;               // receive buffers that go back to the kernel when the next turn begins
    uint32_t *spent_end;
    struct gw_buf *spent_bufs;     // pool buffers that this turn's payloads lie in, released likewise
    struct gw_buf **event_bufs;    // for each event with a lease: the pool buffer its payload lies in
    uint32_t leased;               // receive buffers with a lease

    uint32_t now;                  // tick of the turn
    uint8_t takes_short;           // messages may go the everyday way
    uint32_t frame_payload_max;    // what fits a buffer with its header
    uint32_t forward_bytes_min;    // a shorter message is copied where it might be sent on from where it lies
    uint32_t outbound_bytes_max;
    uint32_t outbound_pause;       // with this much queued a connection's messages wait
    uint32_t outbound_resume;      // and go on at this
    uint32_t handshake_ticks, stall_ticks, close_ticks, idle_ticks;
    uint16_t idle_code;
    uint32_t connections_max, untrusted_max;
    uint32_t slots_touched;        // slots below this have been used at least once
    uint32_t accept_retry;         // tick; only while accept_resting
    uint8_t accept_resting;

    struct gw_peers peers;
    struct gw_compression compression;
    struct gw_gathering gathering;
    struct gw_handshake_policy policy;
    struct gw_stats stats;
    struct gw_io_event *io_events;
    uint8_t *slate;
    struct io_uring_sqe no_request;
    uint16_t no_bytes;
    struct gw_wheel wheel;
};

// gw_reactor_create over a backend of the caller's choice, which the reactor then owns, in failure too. Its
// receive buffers and sockets are those of config.
int gw_reactor_create_on(const struct gw_config *config, struct gw_io *io, struct gw_reactor **reactor);

// gw_secure.c: puts TLS over *io, which is gone when it fails.
int gw_secure_io(const struct gw_config *config, struct gw_io **io);

// gw_config.c. The policy owns copies of its strings; free it even after a failed copy, it starts zeroed.
int gw_config_check(const struct gw_config *config);
int gw_config_copy_policy(const struct gw_config *config, struct gw_handshake_policy *policy);
void gw_config_free_policy(struct gw_handshake_policy *policy);

// A deadline is never early: the present tick has begun already. 0 stays 0.
static inline uint32_t gw_deadline_ticks(uint32_t ms) { return ms == 0 ? 0 : gw_ticks(ms) + 1; }

// Both lists hold a connection at most once; its flags know.
static inline void gw_reactor_make_ready(struct gw_reactor *r, struct gw_conn *conn) {
    if (!(conn->flags & GW_CONN_READY)) {
        conn->flags |= GW_CONN_READY;
        r->ready[r->ready_count++] = conn->slot;
    }
}
static inline void gw_reactor_make_dirty(struct gw_reactor *r, struct gw_conn *conn) {
    if (!(conn->flags & (GW_CONN_DIRTY | GW_CONN_SENDING))) {
        conn->flags |= GW_CONN_DIRTY;
        r->dirty[r->dirty_count++] = conn->slot;
        if (conn->epoch == r->front->epoch) {
            gw_conn_recall(r, conn);
        }
    }
}

static inline int gw_reactor_has_room(const struct gw_reactor *r) { return r->event < r->events_end; }

static inline struct gw_event *gw_reactor_push_event(struct gw_reactor *r, gw_conn_id id, uint8_t kind,
                                                     uint8_t opcode) {
    struct gw_event *event = r->event++;
    *event = (struct gw_event){ .conn = id, .kind = kind, .opcode = opcode };
    return event;
}

static inline uint8_t *gw_received_data(const struct gw_reactor *r, uint32_t buffer) {
    return r->io->receive_memory + (size_t)buffer * r->io->receive_buffer_bytes;
}
// The buffer may still be read by this turn's events.
static inline void gw_reactor_spend(struct gw_reactor *r, uint32_t buffer) {
    *r->spent_end++ = buffer;
}
// Takes over a count of a pool buffer, which stands in no other list.
static inline void gw_reactor_spend_buf(struct gw_reactor *r, struct gw_buf *buf) {
    buf->next = r->spent_bufs;
    r->spent_bufs = buf;
}
// Remembers the pool buffer that the latest event's payload lies in.
static inline void gw_reactor_lie_in(struct gw_reactor *r, struct gw_event *event, struct gw_buf *buf) {
    const uint16_t number = (uint16_t)(r->event - r->events);
    r->event_bufs[number - 1] = buf;
    event->lease = number;
}

#endif
