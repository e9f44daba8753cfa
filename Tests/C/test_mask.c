// Masking against the definition of RFC 6455 section 5.3, byte by byte.
#include "gw_mask.h"
#include "test.h"

static uint32_t mask_of(const uint8_t bytes[4]) {
    uint32_t mask;
    memcpy(&mask, bytes, 4);
    return mask;
}

static void fill(uint8_t *out, size_t length, uint64_t seed) {
    for (size_t index = 0; index < length; index++) {
        out[index] = (uint8_t)(test_random(&seed) >> 32);
    }
}

static const uint8_t mask_bytes[4] = { 0x37, 0xFA, 0x21, 0x3D };

typedef bool apply(uint8_t *data, size_t length, uint32_t mask, uint64_t offset);

static bool apply_words(uint8_t *data, size_t length, uint32_t mask, uint64_t offset) {
    return gw_mask_apply_words(data, length, (uint32_t)gw_mask_words(mask, offset));
}

// Masks in place between what must stay untouched, and compares.
static void check_mask(apply *apply, uint8_t *data, size_t length, uint64_t offset) {
    uint8_t wanted[512];
    bool ascii = true;
    for (size_t index = 0; index < length; index++) {
        wanted[index] = data[index] ^ mask_bytes[(offset + index) % 4];
        ascii = ascii && wanted[index] < 0x80;
    }
    CHECK(apply(data, length, mask_of(mask_bytes), offset) == ascii);
    CHECK(length == 0 || memcmp(data, wanted, length) == 0);
}

static void check_everywhere(apply *apply) {
    enum { ALIGNMENTS = 64, LENGTH_MAX = 353 };
    struct guarded memory = guarded_map(512);
    for (size_t alignment = 0; alignment < ALIGNMENTS; alignment++) {
        for (size_t length = 0; length <= LENGTH_MAX; length++) {
            for (uint64_t offset = 0; offset < 4; offset++) {
                uint8_t *starting = memory.start + alignment;
                fill(memory.start, 512, length + 1);
                check_mask(apply, starting, length, offset);
                uint8_t untouched[512];
                fill(untouched, 512, length + 1);
                CHECK(memcmp(memory.start, untouched, alignment) == 0);
                CHECK(memcmp(starting + length, untouched + alignment + length, 512 - alignment - length) == 0);

                uint8_t *ending = memory.end - length;
                fill(memory.end - 512, 512, length + 2);
                check_mask(apply, ending, length, offset);
                fill(untouched, 512, length + 2);
                CHECK(memcmp(memory.end - 512, untouched, 512 - length) == 0);
            }
        }
    }
    guarded_unmap(memory);
}

static void mask__holds_at_every_alignment_and_length(void) { check_everywhere(gw_mask_apply); }

static void mask__holds_without_avx2(void) { check_everywhere(apply_words); }

static void mask__says_whether_all_is_ascii(void) {
    uint8_t data[257], masked[257];
    for (size_t length = 1; length <= sizeof data; length++) {
        for (size_t at = 0; at <= length; at++) {
            memset(data, 'x', length);
            if (at < length) {
                data[at] = 0x80;
            }
            memcpy(masked, data, length);
            for (size_t index = 0; index < length; index++) {
                masked[index] ^= mask_bytes[index % 4];
            }
            CHECK(gw_mask_apply(masked, length, mask_of(mask_bytes), 0) == (at == length));
            CHECK(memcmp(masked, data, length) == 0);
        }
    }
}

static void mask__goes_on_where_a_split_left_off(void) {
    uint8_t whole[300], parts[300];
    uint64_t seed = 3;
    for (int round = 0; round < 5000; round++) {
        const size_t length = test_random(&seed) % sizeof whole;
        fill(whole, length, (uint64_t)round + 1);
        fill(parts, length, (uint64_t)round + 1);
        gw_mask_apply(whole, length, mask_of(mask_bytes), 0);
        for (size_t at = 0; at < length;) {
            const size_t left = length - at;
            const size_t piece = 1 + test_random(&seed) % (left < 90 ? left : 90);
            gw_mask_apply(parts + at, piece, mask_of(mask_bytes), at);
            at += piece;
        }
        CHECK(length == 0 || memcmp(whole, parts, length) == 0);
    }
}

static void mask__takes_a_megabyte(void) {
    enum { BYTES = 1 << 20 };
    uint8_t *data = calloc(1, BYTES);
    CHECK(data != NULL);
    CHECK(!gw_mask_apply(data, BYTES, mask_of(mask_bytes), 1ull << 63));
    for (size_t index = 0; index < BYTES; index++) {
        CHECK(data[index] == mask_bytes[index % 4]);
    }
    free(data);
}

int main(void) {
    RUN(mask__holds_at_every_alignment_and_length);
    RUN(mask__holds_without_avx2);
    RUN(mask__says_whether_all_is_ascii);
    RUN(mask__goes_on_where_a_split_left_off);
    RUN(mask__takes_a_megabyte);
    return 0;
}
