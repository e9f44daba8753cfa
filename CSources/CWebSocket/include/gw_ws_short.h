// The everyday frames: unfragmented text or binary messages that lie whole in the input, short ones inline. Anything else is
// left as it was, for gw_ws_decode to say what it is.
// Owner and thread: as in gw_ws.h.
#ifndef GW_WS_SHORT_H
#define GW_WS_SHORT_H

#include "gw_mask.h"
#include "gw_ws.h"

enum {
    GW_WS_SHORT_BYTES_MAX = 63,
    GW_WS_SHORT_HEADER_BYTES = 6,
    GW_WS_LONGER_FRAME_BYTES_MIN = GW_WS_SHORT_HEADER_BYTES + GW_WS_SHORT_BYTES_MAX + 1,
    GW_WS_SHORT_REACH_BYTES = GW_WS_SHORT_HEADER_BYTES + GW_MASK_VECTOR_BYTES,
};

// Phase 0 waits for a header; the other two are 0 when nothing of it, and nothing of a message, has come.
static inline bool gw_ws_is_between_messages(const struct gw_ws_decoder *decoder) {
    return (decoder->midway & GW_WS_MIDWAY) == 0;
}

// Called so that they cost the loop around them no register.
#if defined(__has_attribute)
#if __has_attribute(preserve_most)
#define GW_WS_CALLED_FROM_LOOP __attribute__((preserve_most))
#endif
#endif
#ifndef GW_WS_CALLED_FROM_LOOP
#define GW_WS_CALLED_FROM_LOOP
#endif

// Both find the mask before the bytes. Text that is not ASCII: true, it is valid; else it is masked again.
GW_WS_CALLED_FROM_LOOP bool gw_ws_keep_text(uint8_t *text, size_t bytes);
// Unmasks a message of at most GW_WS_SHORT_BYTES_MAX bytes. False: it is no valid text, and masked again.
GW_WS_CALLED_FROM_LOOP bool gw_ws_unmask_short(uint8_t *data, size_t bytes, bool binary);

struct gw_ws_short {
    uint8_t *text;       // unmasked; its header is still before it
    uint64_t bytes;
};

// The same as gw_ws_take_short for messages above GW_WS_SHORT_BYTES_MAX, of at most 65,535 bytes and at most bytes_max. Touches
// nothing beyond end.
bool gw_ws_take_longer(uint8_t *data, const uint8_t *end, uint64_t bytes_max, struct gw_ws_short *message);

// The decoder is between messages, and stays there. Takes the whole message that [data, end) begins with, if it has at most
// GW_WS_SHORT_BYTES_MAX bytes. Else false, and nothing is done. GW_WS_SHORT_REACH_BYTES from data on may be read, and
// written as they were, wherever end is.
__attribute__((always_inline))
static inline bool gw_ws_take_short(uint8_t *data, const uint8_t *end, struct gw_ws_short *message) {
    uint16_t header;
    memcpy(&header, data, sizeof header);
    // With FIN, no RSV bit, a mask and a short length, text and binary differ in one bit.
    const uint32_t rest = header - (0x8000u | 0x80u | GW_WS_TEXT);
    const uint32_t bytes = rest >> 8;
    uint8_t *text = data + GW_WS_SHORT_HEADER_BYTES;
    if ((rest & ~(GW_WS_SHORT_BYTES_MAX << 8 | 1u)) != 0 || text + bytes > end) {
        return false;
    }
    *message = (struct gw_ws_short){ .text = text, .bytes = bytes };
    if (__builtin_expect(bytes > GW_MASK_VECTOR_BYTES, 0)) {
        return gw_ws_unmask_short(text, bytes, rest & 1);
    }
    uint32_t mask;
    memcpy(&mask, text - sizeof mask, sizeof mask);
    return __builtin_expect(gw_mask_apply_vector(text, bytes, mask), 1) || (rest & 1) || gw_ws_keep_text(text, bytes);
}

#endif
