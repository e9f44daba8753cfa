// The everyday frames' short ways against the decoder's definition: the same messages, and what is none, or lies behind it,
// stays as it was, up to a guard page.
#include "gw_utf8.h"
#include "gw_ws_short.h"
#include "test.h"

enum { AREA = 128, LONG_AREA = 68 * 1024, HEADER = GW_WS_SHORT_HEADER_BYTES };

static const uint8_t mask[4] = { 0x37, 0xFA, 0x21, 0xBD };

// A frame of length payload bytes as far to the end of the area as the promise allows; arrived of its bytes are there.
static void check_frame(struct guarded memory, uint8_t first, uint8_t second, const uint8_t *payload, uint32_t length,
                        uint32_t arrived) {
    const uint32_t frame = HEADER + length, span = frame > GW_WS_SHORT_REACH_BYTES ? frame : GW_WS_SHORT_REACH_BYTES;
    uint8_t *const start = memory.end - AREA, *const data = memory.end - span;
    uint8_t before[AREA];
    memset(start, 0xC7, AREA);
    data[0] = first;
    data[1] = second;
    memcpy(data + 2, mask, sizeof mask);
    for (uint32_t index = 0; index < length; index++) {
        data[HEADER + index] = payload[index] ^ mask[index % 4];
    }
    memcpy(before, start, AREA);
    const int is_text = first == 0x81;
    const int is_whole = (is_text || first == 0x82) && second == (0x80 | length) && length <= GW_WS_SHORT_BYTES_MAX
                      && arrived >= frame;
    const int is_valid = is_whole
        && (!is_text || gw_utf8_feed(GW_UTF8_START, payload, length) == GW_UTF8_START);
    struct gw_ws_short message;
    CHECK(gw_ws_take_short(data, data + arrived, &message) == is_valid);
    if (is_valid) {
        CHECK(message.text == data + HEADER && message.bytes == length);
        CHECK(length == 0 || memcmp(data + HEADER, payload, length) == 0);
        memcpy(data + HEADER, before + AREA - span + HEADER, length);
    }
    CHECK(memcmp(start, before, AREA) == 0);
}

static void short__takes_whole_frames_of_every_length(void) {
    struct guarded memory = guarded_map(AREA);
    uint8_t ascii[AREA], any[AREA];
    uint64_t seed = 7;
    for (uint32_t index = 0; index < AREA; index++) {
        ascii[index] = (uint8_t)(' ' + index % 90);
        any[index] = (uint8_t)test_random(&seed);
    }
    for (uint32_t length = 0; length <= 100; length++) {
        for (uint32_t arrived = 0; arrived <= HEADER + length; arrived++) {
            for (uint8_t first = 0x81; first <= 0x82; first++) {
                check_frame(memory, first, (uint8_t)(0x80 | length), ascii, length, arrived);
                check_frame(memory, first, (uint8_t)(0x80 | length), any, length, arrived);
            }
        }
    }
    guarded_unmap(memory);
}

static void short__leaves_every_other_header(void) {
    struct guarded memory = guarded_map(AREA);
    const uint8_t payload[] = "sixteen bytes !!";
    for (uint32_t first = 0; first < 256; first++) {
        for (uint32_t second = 0; second < 256; second++) {
            const int is_shorter = (first == 0x81 || first == 0x82) && second >= 0x80 && second < 0x90;
            if (!is_shorter) {
                check_frame(memory, (uint8_t)first, (uint8_t)second, payload, 16, HEADER + 16);
            }
        }
    }
    guarded_unmap(memory);
}

static void short__finds_broken_text_at_every_byte(void) {
    struct guarded memory = guarded_map(AREA);
    for (uint32_t length = 1; length <= GW_WS_SHORT_BYTES_MAX; length++) {
        for (uint32_t at = 0; at < length; at++) {
            uint8_t payload[GW_WS_SHORT_BYTES_MAX];
            memset(payload, 'x', sizeof payload);
            payload[at] = 0x80;
            check_frame(memory, 0x81, (uint8_t)(0x80 | length), payload, length, HEADER + length);
            check_frame(memory, 0x82, (uint8_t)(0x80 | length), payload, length, HEADER + length);
            if (at + 2 <= length) {
                payload[at] = 0xC3;
                payload[at + 1] = 0xA9;
                check_frame(memory, 0x81, (uint8_t)(0x80 | length), payload, length, HEADER + length);
            }
        }
    }
    guarded_unmap(memory);
}

// The same for the longer ones, which end at the guard page. The length is told in the form given: 0 or 16 bits.
static void check_longer(struct guarded memory, uint8_t first, unsigned form, const uint8_t *payload, uint32_t length,
                         uint32_t arrived, uint64_t bytes_max) {
    const uint32_t header = form == 0 ? HEADER : HEADER + 2;
    uint8_t *const data = memory.end - header - length;
    static uint8_t before[LONG_AREA];
    data[0] = first;
    data[1] = (uint8_t)(0x80 | (form == 0 ? length : 126));
    if (form == 16) {
        data[2] = (uint8_t)(length >> 8);
        data[3] = (uint8_t)length;
    }
    memcpy(data + header - 4, mask, sizeof mask);
    for (uint32_t index = 0; index < length; index++) {
        data[header + index] = payload[index] ^ mask[index % 4];
    }
    memcpy(before, data, header + length);
    const int is_text = first == 0x81;
    const int is_whole = (is_text || first == 0x82) && arrived == header + length && length > GW_WS_SHORT_BYTES_MAX
                      && (form == 16 ? length > 125 : length <= 125) && length <= bytes_max;
    const int is_valid = is_whole && (!is_text || gw_utf8_feed(GW_UTF8_START, payload, length) == GW_UTF8_START);
    // What has not arrived is not there.
    uint8_t *const at = memory.end - arrived;
    memmove(at, data, arrived);
    struct gw_ws_short message;
    CHECK(gw_ws_take_longer(at, memory.end, bytes_max, &message) == is_valid);
    if (is_valid) {
        CHECK(message.text == data + header && message.bytes == length && memcmp(message.text, payload, length) == 0);
        CHECK(memcmp(data, before, header) == 0);
    } else {
        CHECK(memcmp(at, before, arrived) == 0);
    }
}

static void longer__takes_whole_frames_of_every_length(void) {
    struct guarded memory = guarded_map(LONG_AREA);
    static uint8_t ascii[LONG_AREA], any[LONG_AREA];
    uint64_t seed = 9;
    for (uint32_t index = 0; index < LONG_AREA; index++) {
        ascii[index] = (uint8_t)(' ' + index % 90);
        any[index] = (uint8_t)test_random(&seed);
    }
    for (uint32_t length = 0; length <= 400; length++) {
        for (unsigned form = 0; form <= 16; form += 16) {
            if (form == 0 && length > 125) {
                continue;
            }
            const uint32_t frame = HEADER + (form == 0 ? 0 : 2) + length;
            for (uint32_t arrived = 0; arrived <= frame; arrived++) {
                check_longer(memory, 0x81, form, ascii, length, arrived, UINT64_MAX);
            }
            for (uint8_t first = 0x81; first <= 0x82; first++) {
                check_longer(memory, first, form, any, length, frame, UINT64_MAX);
                check_longer(memory, first, form, ascii, length, frame, length);
                check_longer(memory, first, form, ascii, length, frame, length - 1);
            }
        }
    }
    for (uint32_t length = 65400; length <= 65535; length++) {
        check_longer(memory, 0x82, 16, any, length, HEADER + 2 + length, UINT64_MAX);
        check_longer(memory, 0x82, 16, any, length, HEADER + 1 + length, UINT64_MAX);
    }
    guarded_unmap(memory);
}

static void longer__leaves_every_other_header(void) {
    struct guarded memory = guarded_map(LONG_AREA);
    static const uint8_t payload[300] = { 'x' };
    for (uint32_t first = 0; first < 256; first++) {
        check_longer(memory, (uint8_t)first, 0, payload, 100, HEADER + 100, UINT64_MAX);
        check_longer(memory, (uint8_t)first, 16, payload, 300, HEADER + 2 + 300, UINT64_MAX);
    }
    for (uint32_t second = 0; second < 256; second++) {
        uint8_t *const data = memory.end - 200, before[200];
        memset(data, 0, 200);
        data[0] = 0x82;
        data[1] = (uint8_t)second;
        memcpy(before, data, 200);
        struct gw_ws_short message;
        const int is_one = second >= (0x80 | 64) && second < (0x80 | 126);   // of the others' lengths none has as many bytes
        CHECK(gw_ws_take_longer(data, memory.end, UINT64_MAX, &message) == is_one);
        CHECK(is_one || memcmp(data, before, 200) == 0);
    }
    guarded_unmap(memory);
}

static void longer__finds_broken_text_at_every_byte(void) {
    struct guarded memory = guarded_map(LONG_AREA);
    uint8_t payload[300];
    for (uint32_t length = 64; length <= sizeof payload; length += 59) {
        for (uint32_t at = 0; at < length; at++) {
            memset(payload, 'x', sizeof payload);
            payload[at] = 0x80;
            const unsigned form = length < 126 ? 0 : 16;
            check_longer(memory, 0x81, form, payload, length, HEADER + form / 8 + length, UINT64_MAX);
            if (at + 2 <= length) {
                payload[at] = 0xC3;
                payload[at + 1] = 0xA9;
                check_longer(memory, 0x81, form, payload, length, HEADER + form / 8 + length, UINT64_MAX);
            }
        }
    }
    guarded_unmap(memory);
}

int main(void) {
    RUN(short__takes_whole_frames_of_every_length);
    RUN(short__leaves_every_other_header);
    RUN(short__finds_broken_text_at_every_byte);
    RUN(longer__takes_whole_frames_of_every_length);
    RUN(longer__leaves_every_other_header);
    RUN(longer__finds_broken_text_at_every_byte);
    return 0;
}
