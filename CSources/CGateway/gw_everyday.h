// The everyday ways, inline: short whole messages that become events where they were received, and a queue of one
// buffer that has left whole. Whatever is rarer goes to gw_inbound.c and gw_conn.c.
// Owner and thread: the reactor's.
#ifndef GW_EVERYDAY_H
#define GW_EVERYDAY_H

#include "gw_reactor.h"
#include "gw_ws_short.h"

// Nobody waits in the list from an earlier turn, and nothing of this connection does.
static inline int gw_inbound_is_calm(const struct gw_reactor *r, const struct gw_conn *conn) {
    return gw_conn_is_open_without(conn, GW_CONN_READY | GW_CONN_PAUSED | GW_CONN_MUTED)
        && conn->input_first == GW_NO_BUFFER && r->ready_carried == 0
        && conn->short_turn != (uint16_t)r->stats.turns && gw_ws_is_between_messages(&conn->decoder);
}

// Hands out the short whole messages at the front of data[at, end), while the turn and the queue take them. The
// decoder is between messages. Returns where they end.
__attribute__((always_inline))
static inline uint32_t gw_inbound_run(struct gw_reactor *r, struct gw_conn *conn, uint8_t *data, uint32_t at,
                                      uint32_t end, uint32_t *queued) {
    const gw_conn_id id = gw_conn_identity(r, conn);
    const size_t limit = r->short_bytes_max;
    const uint32_t pause = r->outbound_pause;
    struct gw_event *const first = &r->events[r->events_count], *const last = &r->events[r->events_max];
    struct gw_event *event = first;
    uint32_t sum = *queued;
    size_t payload;
    while (event < last && sum < pause && gw_ws_take_short(data + at, end - at, limit, &payload)) {
        *event++ = (struct gw_event){
            .conn = id, .kind = GW_EVENT_MESSAGE, .opcode = data[at] & 0x0F,
            .data = data + at + GW_WS_SHORT_HEADER_BYTES, .length = payload,
        };
        at += GW_WS_SHORT_HEADER_BYTES + (uint32_t)payload;
        sum += GW_WS_SERVER_HEADER_BYTES_MAX + (uint32_t)payload;
    }
    *queued = sum;
    const uint32_t count = (uint32_t)(event - first);
    r->events_count += count;
    r->stats.messages_in += count;
    return at;
}

__attribute__((always_inline))
static inline void gw_everyday_received(struct gw_reactor *r, struct gw_conn *conn, uint32_t buffer, uint32_t bytes) {
    r->stats.bytes_in += bytes;
    uint32_t at = 0;
    if (gw_inbound_is_calm(r, conn)) {
        uint32_t queued = conn->out.bytes;
        at = gw_inbound_run(r, conn, gw_received_data(r, buffer), 0, bytes, &queued);
        conn->short_turn = at > 0 ? (uint16_t)r->stats.turns : conn->short_turn;
    }
    if (at < bytes) {
        gw_inbound_enqueue(r, conn, buffer, at, bytes);
        return;
    }
    conn->active_tick = r->now;
    gw_reactor_spend(r, buffer);
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
