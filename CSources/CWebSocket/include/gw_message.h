// Joins the pieces of a message. A message that lies whole in one receive buffer is never copied; any other
// is gathered in a counted buffer that grows by size class.
//
// Owner: one connection; thread: its pool's. Zeroed is empty.
#ifndef GW_MESSAGE_H
#define GW_MESSAGE_H

#include "gw_pool.h"
#include "gw_ws.h"

struct gw_message {
    struct gw_buf *gathered;   // NULL while no message is split
};

enum gw_message_result {
    GW_MESSAGE_MORE,     // the message goes on
    GW_MESSAGE_WHOLE,    // data, length; if *buf is not NULL they lie in it and the caller now owns its count
    GW_MESSAGE_NOBUFS,   // the pool is empty or the message fits no class
};

enum gw_message_result gw_message_gather(struct gw_message *message, struct gw_pool *pool,
                                         const struct gw_ws_item *piece, uint8_t **data, uint64_t *length,
                                         struct gw_buf **buf);

// Takes a DATA item. After NOBUFS the message can't be completed: the connection is to be failed.
// What a gathered message holds of the pool is bounded by what has arrived of it, not by what its frames
// announce: at most GW_MESSAGE_AHEAD times as much, rounded up to a size class.
enum { GW_MESSAGE_AHEAD = 16 };
// In front of a gathered message there is room for the header with which it may be sent on from where it lies.
enum { GW_MESSAGE_ROOM_BYTES = 16 };
static inline enum gw_message_result gw_message_add(struct gw_message *message, struct gw_pool *pool,
                                                    const struct gw_ws_item *piece, uint8_t **data,
                                                    uint64_t *length, struct gw_buf **buf) {
    if (!piece->first || !piece->last) {
        return gw_message_gather(message, pool, piece, data, length, buf);
    }
    *data = piece->data;
    *length = piece->length;
    *buf = NULL;
    return GW_MESSAGE_WHOLE;
}

void gw_message_deinit(struct gw_message *message, struct gw_pool *pool);

#endif
