// UTF-8 as a table-driven automaton, with strides over ASCII.
//
// A state is a bit offset into a 64-bit row and a byte selects its row, so that a step is one load that does not
// wait for the state, and one shift that does. The rows say what follows from each state on such a byte:
//
//   START     between code points          TAIL_E0   after E0: A0..BF, then one more (no overlongs)
//   TAIL_1    one more byte, 80..BF        TAIL_ED   after ED: 80..9F, then one more (no surrogates)
//   TAIL_2    two more                     TAIL_F0   after F0: 90..BF, then two more (no overlongs)
//   TAIL_3    three more                   TAIL_F4   after F4: 80..8F, then two more (up to U+10FFFF)
// Owner of the state: the caller. Thread: any.
#include "gw_utf8.h"

#include <stdbool.h>
#include <string.h>

enum {
    START = GW_UTF8_START, INVALID = GW_UTF8_INVALID, TAIL_1 = 12, TAIL_2 = 18, TAIL_3 = 24,
    TAIL_E0 = 30, TAIL_ED = 36, TAIL_F0 = 42, TAIL_F4 = 48,
};

// Every row leads from INVALID, and from each state it does not name, to INVALID.
#define ROW(start, t1, t2, t3, e0, ed, f0, f4)                                                               \
    ((uint64_t)(start) << START | (uint64_t)INVALID << INVALID | (uint64_t)(t1) << TAIL_1 |                   \
     (uint64_t)(t2) << TAIL_2 | (uint64_t)(t3) << TAIL_3 | (uint64_t)(e0) << TAIL_E0 |                        \
     (uint64_t)(ed) << TAIL_ED | (uint64_t)(f0) << TAIL_F0 | (uint64_t)(f4) << TAIL_F4)
#define FIRST(next) ROW(next, INVALID, INVALID, INVALID, INVALID, INVALID, INVALID, INVALID)
#define TAIL(e0, ed, f0, f4) ROW(INVALID, START, TAIL_1, TAIL_2, e0, ed, f0, f4)

static const uint64_t rows[256] = {
    [0x00 ... 0x7F] = FIRST(START),
    [0x80 ... 0x8F] = TAIL(INVALID, TAIL_1, INVALID, TAIL_2),
    [0x90 ... 0x9F] = TAIL(INVALID, TAIL_1, TAIL_2, INVALID),
    [0xA0 ... 0xBF] = TAIL(TAIL_1, INVALID, TAIL_2, INVALID),
    [0xC0 ... 0xC1] = FIRST(INVALID),
    [0xC2 ... 0xDF] = FIRST(TAIL_1),
    [0xE0] = FIRST(TAIL_E0),
    [0xE1 ... 0xEC] = FIRST(TAIL_2),
    [0xED] = FIRST(TAIL_ED),
    [0xEE ... 0xEF] = FIRST(TAIL_2),
    [0xF0] = FIRST(TAIL_F0),
    [0xF1 ... 0xF3] = FIRST(TAIL_3),
    [0xF4] = FIRST(TAIL_F4),
    [0xF5 ... 0xFF] = FIRST(INVALID),
};

static const uint64_t tops = 0x8080808080808080u;

static inline uint64_t word_at(const uint8_t *data) {
    uint64_t word;
    memcpy(&word, data, sizeof word);
    return word;
}

static inline bool is_ascii_32(const uint8_t *data) {
    return ((word_at(data) | word_at(data + 8) | word_at(data + 16) | word_at(data + 24)) & tops) == 0;
}

uint32_t gw_utf8_feed(uint32_t state, const uint8_t *data, size_t length) {
    uint64_t offset = state;
    size_t index = 0;
    while (length - index >= 8) {
        // The low six bits of a step's result are the state; those above are left over and never count.
        if ((offset & 63) == START) {
            while (length - index >= 32 && is_ascii_32(data + index)) {
                index += 32;
            }
            while (length - index >= 8 && (word_at(data + index) & tops) == 0) {
                index += 8;
            }
            if (length - index < 8) {
                break;
            }
        }
        for (size_t end = index + 8; index < end; index++) {
            offset = rows[data[index]] >> (offset & 63);
        }
        if ((offset & 63) == INVALID) {
            return INVALID;
        }
    }
    for (; index < length; index++) {
        offset = rows[data[index]] >> (offset & 63);
    }
    return (uint32_t)(offset & 63);
}
