// The bytes a token may have, RFC 9110 section 5.6.2.
// Pure; any thread.
#ifndef GW_TOKEN_H
#define GW_TOKEN_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline bool gw_is_token_byte(uint8_t byte) {
    static const char marks[] = "!#$%&'*+-.^_`|~";
    return (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
           (byte != 0 && strchr(marks, byte) != NULL);
}

#endif
