// Masking of payloads of any length: the short ones by the header's inline way, the long ones with AVX2 where
// the processor has it.
// Owner of the bytes: the caller. Thread: any.
#include "gw_mask.h"

const uint8_t gw_mask_keep[2 * GW_MASK_VECTOR_BYTES] = {
    0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
};

bool gw_mask_apply_words(uint8_t *data, size_t length, uint32_t mask) {
    const uint64_t words = gw_mask_words(mask, 0);
    uint64_t seen = 0;
    size_t index = 0;
    for (; length - index > GW_MASK_SHORT_BYTES; index += sizeof seen) {
        const uint64_t word = gw_mask_load_word(data + index, words);
        memcpy(data + index, &word, sizeof word);
        seen |= word;
    }
    const bool ascii = gw_mask_apply_short(data + index, length - index, mask);
    return ascii && gw_mask_is_ascii(seen);
}

#if defined(__x86_64__)
#include <immintrin.h>

enum { VECTOR_BYTES = 32 };

// The first and the last vector are read before any is written, so that both may overlap the aligned ones
// between them.
__attribute__((target("avx2")))
static bool apply_avx2(uint8_t *data, size_t length, uint32_t mask) {
    uint8_t *end = data + length - VECTOR_BYTES;
    const __m256i first = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)data),
                                           _mm256_set1_epi64x((int64_t)gw_mask_words(mask, 0)));
    const __m256i last = _mm256_xor_si256(_mm256_loadu_si256((const __m256i *)end),
                                          _mm256_set1_epi64x((int64_t)gw_mask_words(mask, length)));
    __m256i seen = _mm256_or_si256(first, last);

    const size_t skip = -(uintptr_t)data % VECTOR_BYTES;
    const __m256i masks = _mm256_set1_epi64x((int64_t)gw_mask_words(mask, skip));
    uint8_t *at = data + skip;
    for (; at + 3 * VECTOR_BYTES < end; at += 4 * VECTOR_BYTES) {
        __m256i *const four = (__m256i *)at;
        const __m256i a = _mm256_xor_si256(_mm256_load_si256(four), masks);
        const __m256i b = _mm256_xor_si256(_mm256_load_si256(four + 1), masks);
        const __m256i c = _mm256_xor_si256(_mm256_load_si256(four + 2), masks);
        const __m256i d = _mm256_xor_si256(_mm256_load_si256(four + 3), masks);
        _mm256_store_si256(four, a);
        _mm256_store_si256(four + 1, b);
        _mm256_store_si256(four + 2, c);
        _mm256_store_si256(four + 3, d);
        seen = _mm256_or_si256(_mm256_or_si256(seen, _mm256_or_si256(a, b)), _mm256_or_si256(c, d));
    }
    for (; at < end; at += VECTOR_BYTES) {
        const __m256i vector = _mm256_xor_si256(_mm256_load_si256((const __m256i *)at), masks);
        _mm256_store_si256((__m256i *)at, vector);
        seen = _mm256_or_si256(seen, vector);
    }
    _mm256_storeu_si256((__m256i *)data, first);
    _mm256_storeu_si256((__m256i *)end, last);
    return _mm256_movemask_epi8(seen) == 0;
}

static bool apply_long(uint8_t *data, size_t length, uint32_t mask) {
    // Reads what the runtime found out once, before main.
    return __builtin_cpu_supports("avx2") ? apply_avx2(data, length, mask)
                                          : gw_mask_apply_words(data, length, mask);
}

#else

static bool apply_long(uint8_t *data, size_t length, uint32_t mask) {
    return gw_mask_apply_words(data, length, mask);
}

#endif

bool gw_mask_apply(uint8_t *data, size_t length, uint32_t mask, uint64_t offset) {
    mask = (uint32_t)gw_mask_words(mask, offset);
    return length <= GW_MASK_SHORT_BYTES ? gw_mask_apply_short(data, length, mask) : apply_long(data, length, mask);
}
