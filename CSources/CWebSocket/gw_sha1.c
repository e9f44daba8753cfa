// SHA-1 of a short message; see the header.
// Pure; any thread.
#include "gw_sha1.h"

#include <assert.h>
#include <string.h>

enum { BLOCK_BYTES = 64, BLOCK_WORDS = 16, ROUNDS = 80 };

static uint32_t rotate_left(uint32_t word, unsigned bits) { return word << bits | word >> (32 - bits); }

static uint32_t load_word(const uint8_t *data) {
    return (uint32_t)data[0] << 24 | (uint32_t)data[1] << 16 | (uint32_t)data[2] << 8 | data[3];
}

static void store_word(uint8_t *out, uint32_t word) {
    for (unsigned index = 0; index < 4; index++) {
        out[index] = (uint8_t)(word >> (24 - 8 * index));
    }
}

static uint32_t mix(unsigned round, uint32_t b, uint32_t c, uint32_t d) {
    switch (round / 20) {
    case 0: return ((b & c) | (~b & d)) + 0x5A827999u;
    case 1: return (b ^ c ^ d) + 0x6ED9EBA1u;
    case 2: return ((b & c) | (b & d) | (c & d)) + 0x8F1BBCDCu;
    default: return (b ^ c ^ d) + 0xCA62C1D6u;
    }
}

static void digest_block(uint32_t state[5], const uint8_t *block) {
    uint32_t words[ROUNDS];
    for (unsigned index = 0; index < BLOCK_WORDS; index++) {
        words[index] = load_word(block + 4 * index);
    }
    for (unsigned index = BLOCK_WORDS; index < ROUNDS; index++) {
        words[index] = rotate_left(words[index - 3] ^ words[index - 8] ^ words[index - 14] ^ words[index - 16], 1);
    }
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (unsigned round = 0; round < ROUNDS; round++) {
        const uint32_t next = rotate_left(a, 5) + mix(round, b, c, d) + e + words[round];
        e = d;
        d = c;
        c = rotate_left(b, 30);
        b = a;
        a = next;
    }
    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

void gw_sha1(const uint8_t *message, size_t length, uint8_t digest[GW_SHA1_BYTES]) {
    assert(length <= GW_SHA1_MESSAGE_BYTES_MAX);
    uint8_t padded[2 * BLOCK_BYTES] = { 0 };
    memcpy(padded, message, length);
    padded[length] = 0x80;
    const size_t end = length < BLOCK_BYTES - 8 ? BLOCK_BYTES : 2 * BLOCK_BYTES;
    store_word(padded + end - 4, (uint32_t)length * 8);

    uint32_t state[5] = { 0x67452301u, 0xEFCDAB89u, 0x98BADCFEu, 0x10325476u, 0xC3D2E1F0u };
    for (size_t at = 0; at < end; at += BLOCK_BYTES) {
        digest_block(state, padded + at);
    }
    for (unsigned index = 0; index < 5; index++) {
        store_word(digest + 4 * index, state[index]);
    }
}
