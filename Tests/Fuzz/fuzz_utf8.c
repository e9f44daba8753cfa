// The UTF-8 check against a plain reference: the same verdict after every byte, whatever the pieces.
#include <stdbool.h>

#include "fuzz.h"
#include "gw_utf8.h"

enum verdict { WHOLE, PARTIAL, BROKEN };

// Whether some code point from lowest to highest may be encoded in so many bytes (RFC 3629 section 3).
static bool may_become_valid(uint32_t lowest, uint32_t highest, unsigned bytes) {
    static const uint32_t first_of[] = { 0, 0, 0x80, 0x800, 0x10000 };
    if (lowest < first_of[bytes]) {
        lowest = first_of[bytes];
    }
    if (highest > 0x10FFFF) {
        highest = 0x10FFFF;
    }
    const bool only_surrogates = lowest >= 0xD800 && highest <= 0xDFFF;
    return lowest <= highest && !only_surrogates;
}

// Reads code points one after another; asks after every byte whether any ending would make the last one valid.
static enum verdict judge(const uint8_t *data, size_t length) {
    size_t at = 0;
    while (at < length) {
        const uint8_t lead = data[at++];
        if (lead < 0x80) {
            continue;
        }
        const unsigned bytes = lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : lead >> 3 == 30 ? 4 : 0;
        if (bytes == 0) {
            return BROKEN;
        }
        uint32_t value = lead & (0x7Fu >> bytes);
        for (unsigned missing = bytes - 1;; missing--) {
            const uint32_t lowest = value << (6 * missing);
            if (!may_become_valid(lowest, lowest | ((1u << (6 * missing)) - 1), bytes)) {
                return BROKEN;
            }
            if (missing == 0) {
                break;
            }
            if (at == length) {
                return PARTIAL;
            }
            if ((data[at] & 0xC0) != 0x80) {
                return BROKEN;
            }
            value = value << 6 | (data[at++] & 0x3F);
        }
    }
    return WHOLE;
}

static enum verdict verdict_of(uint32_t state) {
    EXPECT(state < 64);
    return state == GW_UTF8_START ? WHOLE : state == GW_UTF8_INVALID ? BROKEN : PARTIAL;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
    if (length > 1024) {
        return 0;   // the reference is asked once a byte
    }
    struct fuzz_splits splits = fuzz_take_splits(&data, &length);
    uint8_t *whole = fuzz_copy(data, length);
    const uint32_t state = gw_utf8_feed(GW_UTF8_START, whole, length);
    EXPECT(verdict_of(state) == judge(data, length));
    free(whole);

    uint32_t by_byte = GW_UTF8_START, by_piece = GW_UTF8_START;
    for (size_t at = 0; at < length; at++) {
        by_byte = gw_utf8_feed(by_byte, data + at, 1);
        EXPECT(verdict_of(by_byte) == judge(data, at + 1));
    }
    EXPECT(by_byte == state);
    for (size_t at = 0; at < length;) {
        const size_t size = fuzz_next_split(&splits, length - at);
        uint8_t *piece = fuzz_copy(data + at, size);
        by_piece = gw_utf8_feed(by_piece, piece, size);
        free(piece);
        at += size;
    }
    EXPECT(by_piece == state);
    return 0;
}
