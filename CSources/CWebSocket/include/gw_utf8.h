// Strict incremental UTF-8 (RFC 3629; no surrogates, no overlongs, nothing above U+10FFFF), as RFC 6455
// section 8.1 asks: an invalid byte is found as soon as it arrives, not at the end of the message.
// Owner of the state: the caller. Thread: any.
#ifndef GW_UTF8_H
#define GW_UTF8_H

#include <stddef.h>
#include <stdint.h>

#define GW_UTF8_START 0u      // the state before the first byte, and between code points
#define GW_UTF8_INVALID 6u    // once reached, never left

// Feeds bytes; returns the next state (below 64). A text is whole when the state is GW_UTF8_START.
uint32_t gw_utf8_feed(uint32_t state, const uint8_t *data, size_t length);

#endif
