// The everyday frame, inline: a short, unfragmented text or binary message that lies whole in the input. Anything
// else is left as it was, for gw_ws_decode to say what it is.
// Owner and thread: as in gw_ws.h.
#ifndef GW_WS_SHORT_H
#define GW_WS_SHORT_H

#include "gw_mask.h"
#include "gw_ws.h"

enum {
    GW_WS_SHORT_BYTES_MAX = 63,
    GW_WS_SHORT_HEADER_BYTES = 6,
    GW_WS_SHORT_REACH_BYTES = GW_WS_SHORT_HEADER_BYTES + GW_MASK_VECTOR_BYTES,
};

// Phase 0 waits for a header; the other two are 0 when nothing of it, and nothing of a message, has come.
static inline bool gw_ws_is_between_messages(const struct gw_ws_decoder *decoder) {
    return (decoder->phase | decoder->header_length | decoder->message_opcode) == 0;
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

// Text that is not ASCII: true, it is valid; else it is masked again.
GW_WS_CALLED_FROM_LOOP bool gw_ws_keep_text(uint8_t *text, size_t bytes, uint32_t mask);
// Unmasks a message of at most GW_WS_SHORT_BYTES_MAX bytes. False: it is no valid text, and masked again.
GW_WS_CALLED_FROM_LOOP bool gw_ws_unmask_short(uint8_t *data, size_t bytes, uint32_t mask, bool binary);

// The decoder is between messages, and stays there. Where the whole message ends that [data, end) begins with, if it has at
// most GW_WS_SHORT_BYTES_MAX bytes: they are now unmasked behind its header, and *opcode is GW_WS_TEXT or GW_WS_BINARY. Else
// NULL. GW_WS_SHORT_REACH_BYTES from data on may be read, and written as they were, wherever end is.
__attribute__((always_inline))
static inline uint8_t *gw_ws_take_short(uint8_t *data, const uint8_t *end, uint32_t *opcode) {
    uint16_t header;
    memcpy(&header, data, sizeof header);
    // With FIN, no RSV bit, a mask and a short length, text and binary differ in one bit.
    const uint32_t rest = header - (0x8000u | 0x80u | GW_WS_TEXT);
    const uint32_t bytes = rest >> 8;
    uint8_t *text = data + GW_WS_SHORT_HEADER_BYTES, *next = text + bytes;
    if ((rest & ~(GW_WS_SHORT_BYTES_MAX << 8 | 1u)) != 0 || next > end) {
        return NULL;
    }
    uint32_t mask;
    memcpy(&mask, data + 2, sizeof mask);
    *opcode = GW_WS_TEXT + (rest & 1);
    const bool valid = __builtin_expect(bytes <= GW_MASK_VECTOR_BYTES, 1)
                     ? __builtin_expect(gw_mask_apply_vector(text, bytes, mask), 1) || (rest & 1)
                           || gw_ws_keep_text(text, bytes, mask)
                     : gw_ws_unmask_short(text, bytes, mask, rest & 1);
    return valid ? next : NULL;
}

#endif
