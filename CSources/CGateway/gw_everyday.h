// The everyday receives, inline: short whole messages that become events where they were received. Longer ones, and whatever
// is rarer, go to gw_inbound.c.
// Owner and thread: the reactor's.
#ifndef GW_EVERYDAY_H
#define GW_EVERYDAY_H

#include <stddef.h>

#include "gw_reactor.h"
#include "gw_ws_short.h"

enum { GW_SHORT_ANSWER_BYTES_MAX = GW_WS_SHORT_BYTES_MAX + GW_WS_SERVER_HEADER_BYTES_MAX };

// Nothing of the connection's input waits, and its queue takes the answers to all that a turn can hand out this way.
static inline int gw_inbound_is_calm(const struct gw_reactor *r, const struct gw_conn *conn) {
    const uint16_t waits = GW_CONN_READY | GW_CONN_PAUSED | GW_CONN_MUTED;
    return (gw_conn_is_open_without(conn, waits | GW_CONN_SENDING | GW_CONN_DIRTY)
            || (gw_conn_is_open_without(conn, waits) && conn->out.bytes < r->outbound_pause))
        && gw_ws_is_between_messages(&conn->decoder);
}

// Hands out the short whole message that [data, end) begins with. Where its frame ends; NULL: there is none.
__attribute__((always_inline))
static inline uint8_t *gw_inbound_take(struct gw_event *event, const gw_conn_id *id, uint8_t *data, const uint8_t *end) {
    struct gw_ws_short message;
    if (!gw_ws_take_short(data, end, &message)) {
        return NULL;
    }
    // The members from kind to lease, in one store.
    const uint64_t kind = GW_EVENT_MESSAGE | (uint64_t)(data[0] & 0x0F) << 8;
    memcpy((uint8_t *)event + offsetof(struct gw_event, kind), &kind, sizeof kind);
    event->data = message.text;
    event->length = message.bytes;
    event->conn = *id;
    return message.text + message.bytes;
}

// The same of what a connection that is calm received; also NULL when this turn takes no message in this way.
__attribute__((always_inline))
static inline uint8_t *gw_inbound_take_first(struct gw_reactor *r, struct gw_conn *conn, uint8_t *data, const uint8_t *end) {
    uint8_t *const next = r->event < r->short_end ? gw_inbound_take(r->event, &conn->id, data, end) : NULL;
    if (next != NULL) {
        r->event++;
        conn->short_turn = (uint16_t)r->stats.turns;
    }
    return next;
}

// What comes behind a first message that ends at next (NULL: there was none).
static inline void gw_inbound_behind(struct gw_reactor *r, struct gw_conn *conn, uint32_t buffer, uint8_t *next,
                                     uint32_t bytes) {
    if (next != NULL) {
        gw_inbound_go_on(r, conn, buffer, next, bytes);
    } else if (gw_inbound_is_calm(r, conn)) {
        gw_inbound_longer(r, conn, buffer, gw_received_data(r, buffer), bytes);
    } else {
        r->stats.bytes_in += bytes;
        gw_inbound_enqueue(r, conn, buffer, 0, bytes);
    }
}

// The first message was all of it.
static inline void gw_inbound_taken(struct gw_reactor *r, struct gw_conn *conn, uint32_t buffer, uint32_t bytes) {
    r->stats.bytes_in += bytes;
    conn->active_tick = r->now;
    gw_reactor_spend(r, buffer);
}

#endif
