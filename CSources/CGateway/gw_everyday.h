// The everyday ways, inline: short whole messages that become events where they were received, and a queue of one
// buffer that has left whole. Whatever is rarer goes to gw_inbound.c and gw_conn.c.
// Owner and thread: the reactor's.
#ifndef GW_EVERYDAY_H
#define GW_EVERYDAY_H

#include <stddef.h>

#include "gw_reactor.h"
#include "gw_ws_short.h"

enum { GW_SHORT_ANSWER_BYTES_MAX = GW_WS_SHORT_BYTES_MAX + GW_WS_SERVER_HEADER_BYTES_MAX };

// Nothing of the connection's input waits, and its queue takes the answers to all that a turn can hand out this way.
static inline int gw_inbound_is_calm(const struct gw_reactor *r, const struct gw_conn *conn) {
    return gw_conn_is_open_without(conn, GW_CONN_READY | GW_CONN_PAUSED | GW_CONN_MUTED)
        && gw_ws_is_between_messages(&conn->decoder) && conn->out.bytes < r->outbound_pause;
}

// Hands out the short whole message that [data, end) begins with. Where its frame ends; NULL: there is none.
__attribute__((always_inline))
static inline uint8_t *gw_inbound_take(struct gw_event *event, gw_conn_id id, uint8_t *data, const uint8_t *end) {
    uint32_t opcode;
    uint8_t *next = gw_ws_take_short(data, end, &opcode);
    if (next != NULL) {
        // The members from kind to lease, in one store.
        const uint64_t kind = GW_EVENT_MESSAGE | (uint64_t)opcode << 8;
        event->conn = id;
        memcpy((uint8_t *)event + offsetof(struct gw_event, kind), &kind, sizeof kind);
        event->data = data + GW_WS_SHORT_HEADER_BYTES;
        event->length = (uint64_t)(next - event->data);
    }
    return next;
}

__attribute__((always_inline))
static inline void gw_everyday_received(struct gw_reactor *r, struct gw_conn *conn, uint32_t buffer, uint32_t bytes) {
    r->stats.bytes_in += bytes;
    if (gw_inbound_is_calm(r, conn) && r->event < r->short_end) {
        uint8_t *data = gw_received_data(r, buffer), *end = data + bytes;
        uint8_t *at = gw_inbound_take(r->event, conn->id, data, end);
        if (at != NULL) {
            r->event++;
            r->stats.messages_in++;
            conn->short_turn = (uint16_t)r->stats.turns;
            if (at == end || (at = gw_inbound_run(r, conn, at, data, end)) == end) {
                conn->active_tick = r->now;
                gw_reactor_spend(r, buffer);
                return;
            }
            gw_inbound_enqueue(r, conn, buffer, (uint32_t)(at - data), bytes);
            return;
        }
    }
    gw_inbound_enqueue(r, conn, buffer, 0, bytes);
}

// True: all that was queued has left, and nothing waits for that; else nothing is done, and it is gw_conn_sent's.
static inline int gw_everyday_sent(struct gw_reactor *r, struct gw_conn *conn, int32_t result) {
    if (!gw_conn_is_open_without(conn, GW_CONN_PAUSED | GW_CONN_WANTS_WRITABLE) || conn->out.pong != NULL || result <= 0
        || !gw_outbound_consume_only(&conn->out, &r->references, (uint32_t)result)) {
        return 0;
    }
    conn->flags &= (uint16_t)~GW_CONN_SENDING;
    r->stats.bytes_out += (uint32_t)result;
    return 1;
}

// A queue of one buffer is sent without a call. 0: it is another, or no request is free, and nothing is done.
static inline int gw_everyday_flush(struct gw_reactor *r, struct gw_uring_front *uring, uint32_t slot) {
    struct gw_conn *conn = &r->conns[slot];
    const struct gw_buf *first = conn->out.first;
    const uint32_t soonest = r->now + r->stall_ticks;
    if (!gw_conn_is_open_without(conn, GW_CONN_SENDING) || first == NULL || first->next != NULL || conn->out.pong != NULL
        || !gw_timer_is_armed(&conn->timer) || gw_tick_before(soonest, conn->timer_tick)
        || !gw_uring_send_only(uring, slot, first->data + first->start + conn->out.offset, conn->out.bytes)) {
        return 0;
    }
    conn->flags = (uint16_t)((conn->flags & ~GW_CONN_DIRTY) | GW_CONN_SENDING);
    conn->progress_tick = r->now;
    return 1;
}

#endif
