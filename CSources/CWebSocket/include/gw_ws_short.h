// The everyday frame, inline: a short, unfragmented text or binary message that lies whole in the input. Anything
// else is left as it was, for gw_ws_decode to say what it is.
// Owner and thread: as in gw_ws.h.
#ifndef GW_WS_SHORT_H
#define GW_WS_SHORT_H

#include "gw_mask.h"
#include "gw_ws.h"

enum { GW_WS_SHORT_BYTES_MAX = GW_MASK_SHORT_BYTES, GW_WS_SHORT_HEADER_BYTES = 6 };

// Phase 0 waits for a header; the other two are 0 when nothing of it, and nothing of a message, has come.
static inline bool gw_ws_is_between_messages(const struct gw_ws_decoder *decoder) {
    return (decoder->phase | decoder->header_length | decoder->message_opcode) == 0;
}

// Text that is not ASCII: true, it is valid; else it is masked again. Called so that it costs the loop around it no
// register.
#if defined(__has_attribute)
#if __has_attribute(preserve_most)
__attribute__((preserve_most))
#endif
#endif
bool gw_ws_keep_text(uint8_t *text, size_t bytes, uint32_t mask);

// The decoder is between messages, and stays there. True: data begins with a whole message of at most limit bytes
// (<= GW_WS_SHORT_BYTES_MAX), now unmasked behind its header; *payload is its length and data[0] & 15 its opcode.
__attribute__((always_inline))
static inline bool gw_ws_take_short(uint8_t *data, size_t length, size_t limit, size_t *payload) {
    if (length < GW_WS_SHORT_HEADER_BYTES) {
        return false;
    }
    // Without FIN, with an RSV bit, another opcode or no mask these are large numbers.
    const uint32_t opcode = data[0] ^ 0x80u, bytes = data[1] ^ 0x80u;
    if (opcode - GW_WS_TEXT > GW_WS_BINARY - GW_WS_TEXT || bytes > limit || bytes > length - GW_WS_SHORT_HEADER_BYTES) {
        return false;
    }
    uint32_t mask;
    memcpy(&mask, data + 2, sizeof mask);
    uint8_t *text = data + GW_WS_SHORT_HEADER_BYTES;
    *payload = bytes;
    return gw_mask_apply_short(text, bytes, mask) || opcode == GW_WS_BINARY || gw_ws_keep_text(text, bytes, mask);
}

#endif
