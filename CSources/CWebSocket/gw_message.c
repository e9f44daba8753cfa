// Gathers the pieces of a message; see the header.
// Owner: one connection. Thread: its pool's.
#include "gw_message.h"

#include <string.h>

// The bytes to hold now, given those that have arrived and those their frame still announces.
static uint64_t bytes_wanted(uint64_t arrived, uint64_t announced) {
    const uint64_t ahead = arrived * (GW_MESSAGE_AHEAD - 1);
    return arrived + (announced < ahead ? announced : ahead);
}

// A gathered buffer with room for the piece, or NULL; the old one stays in place then.
static struct gw_buf *make_room(struct gw_message *message, struct gw_pool *pool, const struct gw_ws_item *piece) {
    struct gw_buf *old = message->gathered;
    if (old != NULL && gw_buf_room(old) >= piece->length) {
        return old;
    }
    const uint64_t arrived = (old != NULL ? gw_buf_length(old) : 0) + piece->length;
    const uint64_t largest = gw_pool_buffer_bytes_max(pool) - GW_MESSAGE_ROOM_BYTES;
    if (arrived > largest) {
        return NULL;
    }
    const uint64_t wanted = bytes_wanted(arrived, piece->frame_left);
    struct gw_buf *larger = gw_buf_acquire(pool, (uint32_t)(wanted < largest ? wanted : largest) + GW_MESSAGE_ROOM_BYTES);
    if (larger == NULL) {
        larger = gw_buf_acquire(pool, (uint32_t)arrived + GW_MESSAGE_ROOM_BYTES);
    }
    if (larger == NULL) {
        return NULL;
    }
    larger->start = larger->end = GW_MESSAGE_ROOM_BYTES;
    if (old != NULL) {
        const uint32_t length = gw_buf_length(old);
        memcpy(larger->data + larger->start, old->data + old->start, length);
        larger->end += length;
        gw_buf_release(pool, old);
    }
    return larger;
}

enum gw_message_result gw_message_gather(struct gw_message *message, struct gw_pool *pool,
                                         const struct gw_ws_item *piece, uint8_t **data, uint64_t *length,
                                         struct gw_buf **buf) {
    struct gw_buf *gathered = make_room(message, pool, piece);
    if (gathered == NULL) {
        return GW_MESSAGE_NOBUFS;
    }
    message->gathered = gathered;
    memcpy(gathered->data + gathered->end, piece->data, piece->length);
    gathered->end += (uint32_t)piece->length;
    if (!piece->last) {
        return GW_MESSAGE_MORE;
    }
    message->gathered = NULL;
    *data = gathered->data + gathered->start;
    *length = gw_buf_length(gathered);
    *buf = gathered;
    return GW_MESSAGE_WHOLE;
}

void gw_message_deinit(struct gw_message *message, struct gw_pool *pool) {
    if (message->gathered != NULL) {
        gw_buf_release(pool, message->gathered);
        message->gathered = NULL;
    }
}
