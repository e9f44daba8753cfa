// SHA-1 (FIPS 180-4) for Sec-WebSocket-Accept, which is no secret and proves nothing: not for anything else.
// Pure; any thread.
#ifndef GW_SHA1_H
#define GW_SHA1_H

#include <stddef.h>
#include <stdint.h>

enum { GW_SHA1_BYTES = 20, GW_SHA1_MESSAGE_BYTES_MAX = 119 };

// At most GW_SHA1_MESSAGE_BYTES_MAX bytes (two blocks with their padding).
void gw_sha1(const uint8_t *message, size_t length, uint8_t digest[GW_SHA1_BYTES]);

#endif
