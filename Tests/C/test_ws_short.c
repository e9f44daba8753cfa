// The everyday frame's short way against the decoder's definition: the same messages, and what is none, or lies behind it,
// stays as it was, up to a guard page.
#include "gw_utf8.h"
#include "gw_ws_short.h"
#include "test.h"

enum { AREA = 128, HEADER = GW_WS_SHORT_HEADER_BYTES };

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
        CHECK(gw_ws_short_opcode(&message) == (is_text ? GW_WS_TEXT : GW_WS_BINARY));
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

int main(void) {
    RUN(short__takes_whole_frames_of_every_length);
    RUN(short__leaves_every_other_header);
    RUN(short__finds_broken_text_at_every_byte);
    return 0;
}
