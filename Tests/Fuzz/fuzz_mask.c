// Masking against one byte at a time, in each of its four ways and from every offset: the same bytes, the same
// verdict on ASCII, nothing touched outside.
#include <stdbool.h>

#include "fuzz.h"
#include "gw_mask.h"

static bool mask_plainly(uint8_t *data, size_t length, const uint8_t mask[4], uint64_t offset) {
    bool ascii = true;
    for (size_t index = 0; index < length; index++) {
        data[index] ^= mask[(offset + index) % 4];
        ascii = ascii && data[index] < 0x80;
    }
    return ascii;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
    enum { MASK_BYTES = 4, HEAD = MASK_BYTES + 1 };
    if (length < HEAD) {
        return 0;
    }
    uint32_t mask;
    memcpy(&mask, data, sizeof mask);
    const uint8_t offset = data[MASK_BYTES];
    const size_t bytes = length - HEAD;

    uint8_t *wanted = fuzz_copy(data + HEAD, bytes), *got = fuzz_copy(data + HEAD, bytes);
    EXPECT(gw_mask_apply(got, bytes, mask, offset) == mask_plainly(wanted, bytes, data, offset));
    EXPECT(memcmp(got, wanted, bytes) == 0);

    const bool ascii = mask_plainly(wanted, bytes, data, offset);   // and back, which gives the input again
    EXPECT(gw_mask_apply(got, bytes, mask, offset) == ascii && memcmp(got, data + HEAD, bytes) == 0);

    const bool ascii_from_start = mask_plainly(wanted, bytes, data, 0);
    EXPECT(gw_mask_apply_words(got, bytes, mask) == ascii_from_start && memcmp(got, wanted, bytes) == 0);
    if (bytes <= GW_MASK_SHORT_BYTES) {
        memcpy(got, data + HEAD, bytes);
        EXPECT(gw_mask_apply_short(got, bytes, mask) == ascii_from_start && memcmp(got, wanted, bytes) == 0);
    }
    if (bytes <= GW_MASK_VECTOR_BYTES) {
        uint8_t vector[GW_MASK_VECTOR_BYTES], before[GW_MASK_VECTOR_BYTES];
        memset(before, 0xE7, sizeof before);
        memcpy(before, data + HEAD, bytes);
        memcpy(vector, before, sizeof vector);
        EXPECT(gw_mask_apply_vector(vector, bytes, mask) == ascii_from_start && memcmp(vector, wanted, bytes) == 0);
        EXPECT(memcmp(vector + bytes, before + bytes, sizeof vector - bytes) == 0);
    }
    free(wanted);
    free(got);
    return 0;
}
