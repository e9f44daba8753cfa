// One connection: its phase, its queues, its deadlines. 152 bytes, slots in one array that is touched lazily.
//
// Owner: its reactor; a slot is the number of the socket. No thread but the reactor's.
//
//   HANDSHAKE --request--> OPEN --our close--> CLOSING --peer's close--> FLUSHING --sent--> ENDED
//       |                    |--peer's close (answered)----------------------^               ^
//       |                    |--protocol error---v                                           |
//       |--refused-----------------------> REFUSING --sent--> LINGERING --end or deadline----|
//   and from every phase to ENDED when the socket fails or a deadline passes; then RELEASED until the
//   backend has closed the socket, and FREE. A connection too many of its peer is RELEASED at once.
//
//   an id is valid from OPENED until its CLOSED event is handed out, with which the generation moves on
//   armed timer => it fires no later than the earliest deadline
#ifndef GW_CONN_H
#define GW_CONN_H

#include <stdint.h>

#include "gw_gateway.h"
#include "gw_message.h"
#include "gw_outbound.h"
#include "gw_timer.h"
#include "gw_ws.h"

enum gw_phase {
    GW_PHASE_OPEN,        // 0, so that one look at state tells it
    GW_PHASE_HANDSHAKE,
    GW_PHASE_CLOSING,     // our close frame is queued; messages that still arrive are dropped
    GW_PHASE_FLUSHING,    // both close frames are written: what is queued leaves, then the socket ends
    GW_PHASE_REFUSING,    // the last words are queued: a refusal, or the close frame of a failure
    GW_PHASE_LINGERING,   // and sent. Input is dropped until the peer ends, or a reset would destroy them
    GW_PHASE_ENDED,
    GW_PHASE_RELEASED,
    GW_PHASE_FREE,
};

enum gw_conn_flags {
    GW_CONN_READY = 1,            // in the reactor's list
    GW_CONN_DIRTY = 2,            // in the reactor's list
    GW_CONN_SENDING = 4,
    GW_CONN_OPENED = 8,           // OPENED was handed out, so CLOSED must be
    GW_CONN_PAUSED = 16,          // its peer does not take what we send, so its messages wait
    GW_CONN_PEER_ENDED = 32,      // nothing more arrives
    GW_CONN_WANTS_WRITABLE = 64,  // a send was refused
    GW_CONN_WRITABLE = 128,       // and may be tried again: the event is due
    GW_CONN_STARVED = 256,        // refused for want of buffers, with nothing under way that would end it
    GW_CONN_MUTED = 512,          // receiving is off, from a pause until all that came before is decoded
};

struct gw_conn {
    union {
        struct {
            uint32_t slot, generation;
        };
        gw_conn_id id;                // both
    };
    union {
        struct {
            uint16_t flags;
            uint8_t phase;            // enum gw_phase
        };
        uint32_t state;               // both, for one look at them
    };
    uint16_t close_code;          // 0 until either side names one
    uint16_t short_turn;          // the turn (mod 2^16) in which its short messages went straight to events
    uint16_t input_first, input_last;   // receive buffers not yet decoded, GW_NO_BUFFER
    uint16_t epoch;               // the last in which it was sent to from the slate (gw_writer.h)
    uint16_t chunk_bytes;         // and how much
    struct gw_buf *held;          // input older than that, copied off the receive ring while it had to wait
    struct gw_outbound out;
    uint32_t active_tick;         // of the last receive
    union {
        uint32_t progress_tick;   // of the send under way: when it began or last moved
        uint32_t request;         // of that from the slate: the low half of its request's address
    };
    union {
        uint32_t since_tick;      // of the present phase, if it is not OPEN
        uint32_t idle_ticks;      // of an OPEN one; 0: never
    };
    uint32_t timer_tick;          // for which the timer was armed
    struct gw_timer timer;
    struct gw_message message;    // in the handshake: the request, while it arrives in pieces
    struct gw_ws_decoder decoder;
};
#define GW_NO_BUFFER UINT16_MAX
#define GW_PHASE_MASK 0xFF0000u   // of state

// A connection's state among those of flags is that of an open one with none of them.
static inline int gw_conn_is_open_without(const struct gw_conn *conn, uint16_t flags) {
    return (conn->state & (GW_PHASE_MASK | flags)) == 0;
}

_Static_assert(sizeof(struct gw_conn) <= 152, "an idle connection is to stay small");

struct gw_reactor;

// What the backend reports.
void gw_conn_accepted(struct gw_reactor *r, struct gw_conn *conn, uint64_t peer);
void gw_conn_input_ended(struct gw_reactor *r, struct gw_conn *conn);
void gw_conn_sent(struct gw_reactor *r, struct gw_conn *conn, int32_t result);
void gw_conn_released(struct gw_reactor *r, struct gw_conn *conn);
void gw_conn_timer_fired(struct gw_reactor *r, struct gw_conn *conn);

// What was sent from the slate in this epoch is queued, ahead of what was queued meanwhile, if the kernel has not taken it.
void gw_conn_recall(struct gw_reactor *r, struct gw_conn *conn);
// The kernel took so many of the bytes of a chunk on the slate, or said -errno: the rest is queued.
void gw_conn_unsent(struct gw_reactor *r, struct gw_conn *conn, const uint8_t *chunk, int32_t result);

// Hands what is queued to the backend, or moves on when there is nothing left to send.
void gw_conn_flush(struct gw_reactor *r, struct gw_conn *conn);

// Hands out events and decodes input until nothing is left to do (0), or more remains than this turn takes (1).
int gw_conn_advance(struct gw_reactor *r, struct gw_conn *conn);

// Transitions. open: the request was answered with 101. begin_close: queue our close frame and wait for the
// peer's. answer_close: queue the answer to the peer's. fail: queue a close frame as our last words. refuse: what
// is queued are our last words. end: at once.
void gw_conn_open(struct gw_reactor *r, struct gw_conn *conn);
void gw_conn_begin_close(struct gw_reactor *r, struct gw_conn *conn, uint16_t code, const char *reason, size_t bytes);
void gw_conn_answer_close(struct gw_reactor *r, struct gw_conn *conn, uint16_t code);
void gw_conn_fail(struct gw_reactor *r, struct gw_conn *conn, uint16_t code);
void gw_conn_refuse(struct gw_reactor *r, struct gw_conn *conn);
void gw_conn_end(struct gw_reactor *r, struct gw_conn *conn);

// A send was refused for want of buffers: its writable event comes by the timer.
void gw_conn_starve(struct gw_reactor *r, struct gw_conn *conn);
void gw_conn_set_idle_ticks(struct gw_reactor *r, struct gw_conn *conn, uint32_t ticks);

// gw_inbound.c: decodes input while the phase takes it; 1 when more remains for a later turn.
int gw_inbound_decode(struct gw_reactor *r, struct gw_conn *conn);
// What the backend received. In the everyday way (gw_everyday.h), without the list of those that are ready, whole
// messages at its front become events at once. Their answers are not yet queued, so a connection that went this way is
// decoded again only in the next turn, which sees them.
void gw_inbound_received(struct gw_reactor *r, struct gw_conn *conn, uint32_t buffer, uint32_t bytes);
// The rest of such a buffer, behind a first message that ends at next.
void gw_inbound_go_on(struct gw_reactor *r, struct gw_conn *conn, uint32_t buffer, uint8_t *next, uint32_t bytes);
// Such a buffer from `at` on, where no short message begins.
void gw_inbound_longer(struct gw_reactor *r, struct gw_conn *conn, uint32_t buffer, uint8_t *at, uint32_t bytes);
// Input like any other, [start, end) of the buffer: decoded when the connection's turn comes.
void gw_inbound_enqueue(struct gw_reactor *r, struct gw_conn *conn, uint32_t buffer, uint32_t start, uint32_t end);
// Moves input that has to wait off the receive ring, which others need; without a buffer for it the connection
// is failed.
void gw_inbound_hold(struct gw_reactor *r, struct gw_conn *conn);
void gw_inbound_drop(struct gw_reactor *r, struct gw_conn *conn);
void gw_inbound_unmute(struct gw_reactor *r, struct gw_conn *conn);
static inline int gw_inbound_is_empty(const struct gw_conn *conn) {
    return conn->held == NULL && conn->input_first == GW_NO_BUFFER;
}

#endif
