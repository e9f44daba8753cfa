// Masking of RFC 6455 section 5.3, in place. Masking and unmasking are the same.
// Owner of the bytes: the caller. Thread: any.
#ifndef GW_MASK_H
#define GW_MASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "a word's lowest byte is its first on the wire");

// XORs data with the 4 mask bytes (mask as loaded with memcpy from the wire), starting at mask byte
// offset % 4. Touches exactly data[0, length). Returns whether all it wrote is ASCII, so that text which is
// needs no second pass.
bool gw_mask_apply(uint8_t *data, size_t length, uint32_t mask, uint64_t offset);

// The way without AVX2, from the mask's start; declared so that it is tested where gw_mask_apply would not take it.
bool gw_mask_apply_words(uint8_t *data, size_t length, uint32_t mask);

// Two masks in a row, as the bytes from offset on meet them.
static inline uint64_t gw_mask_words(uint32_t mask, uint64_t offset) {
    const uint64_t words = mask | (uint64_t)mask << 32;
    const uint64_t bits = offset * 8;
    return words >> (bits & 63) | words << (-bits & 63);
}

// The same for at most GW_MASK_SHORT_BYTES from the mask's start, inline: most messages are that short. Each
// branch covers a span of lengths with a fixed number of words, which overlap in the middle of the data; hence
// all are read before the first is written.
enum { GW_MASK_SHORT_BYTES = 64 };

typedef uint64_t gw_mask_vector __attribute__((vector_size(16)));

static inline gw_mask_vector gw_mask_load_vector(const uint8_t *data, uint64_t words) {
    gw_mask_vector vector;
    memcpy(&vector, data, sizeof vector);
    return vector ^ (gw_mask_vector){ words, words };
}

static inline uint64_t gw_mask_load_word(const uint8_t *data, uint64_t words) {
    uint64_t word;
    memcpy(&word, data, sizeof word);
    return word ^ words;
}

static inline bool gw_mask_is_ascii(uint64_t seen) { return (seen & 0x8080808080808080u) == 0; }

static inline bool gw_mask_apply_short(uint8_t *data, size_t length, uint32_t mask) {
    uint8_t *end = data + length;
    const uint64_t words = gw_mask_words(mask, 0), end_words = gw_mask_words(mask, length);
    if (length > 32) {
        const gw_mask_vector a = gw_mask_load_vector(data, words), b = gw_mask_load_vector(data + 16, words);
        const gw_mask_vector c = gw_mask_load_vector(end - 32, end_words), d = gw_mask_load_vector(end - 16, end_words);
        const gw_mask_vector seen = a | b | c | d;
        memcpy(data, &a, sizeof a);
        memcpy(data + 16, &b, sizeof b);
        memcpy(end - 32, &c, sizeof c);
        memcpy(end - 16, &d, sizeof d);
        return gw_mask_is_ascii(seen[0] | seen[1]);
    }
    if (length > 16) {
        const gw_mask_vector a = gw_mask_load_vector(data, words), b = gw_mask_load_vector(end - 16, end_words);
        const gw_mask_vector seen = a | b;
        memcpy(data, &a, sizeof a);
        memcpy(end - 16, &b, sizeof b);
        return gw_mask_is_ascii(seen[0] | seen[1]);
    }
    if (length >= 8) {
        const uint64_t a = gw_mask_load_word(data, words), b = gw_mask_load_word(end - 8, end_words);
        memcpy(data, &a, sizeof a);
        memcpy(end - 8, &b, sizeof b);
        return gw_mask_is_ascii(a | b);
    }
    if (length >= 4) {
        uint32_t a, b;
        memcpy(&a, data, sizeof a);
        memcpy(&b, end - 4, sizeof b);
        a ^= (uint32_t)words;
        b ^= (uint32_t)end_words;
        memcpy(data, &a, sizeof a);
        memcpy(end - 4, &b, sizeof b);
        return gw_mask_is_ascii(a | b);
    }
    uint8_t seen = 0;
    for (size_t index = 0; index < length; index++) {
        data[index] ^= (uint8_t)(mask >> (index * 8));
        seen |= data[index];
    }
    return seen < 0x80;
}

// The same for at most GW_MASK_VECTOR_BYTES and without a branch: so many bytes from data on are read and written, of which
// those behind length stay as they were.
enum { GW_MASK_VECTOR_BYTES = 16 };

extern const uint8_t gw_mask_keep[2 * GW_MASK_VECTOR_BYTES];   // ones, and as many zeros behind them

typedef uint32_t gw_mask_quads __attribute__((vector_size(GW_MASK_VECTOR_BYTES)));
typedef char gw_mask_chars __attribute__((vector_size(GW_MASK_VECTOR_BYTES)));

static inline bool gw_mask_apply_vector(uint8_t *data, size_t length, uint32_t mask) {
    gw_mask_quads vector, keep;
    memcpy(&vector, data, sizeof vector);
    memcpy(&keep, gw_mask_keep + GW_MASK_VECTOR_BYTES - length, sizeof keep);
    vector ^= (gw_mask_quads){ mask, mask, mask, mask } & keep;
    memcpy(data, &vector, sizeof vector);
#if defined(__SSE2__)
    const uint32_t seen = (uint32_t)__builtin_ia32_pmovmskb128((gw_mask_chars)vector);
    return (seen & ((1u << length) - 1)) == 0;
#else
    const gw_mask_vector seen = (gw_mask_vector)(vector & keep);
    return gw_mask_is_ascii(seen[0] | seen[1]);
#endif
}

#endif
