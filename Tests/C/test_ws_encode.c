// The encoder: headers at every limit of the length forms, close frames, and RFC 6455's own examples.
#include "gw_ws.h"
#include "test.h"

static void frame_encode__writes_the_shortest_header(void) {
    static const struct {
        uint64_t payload_bytes;
        size_t length;
        uint8_t header[10];
    } rows[] = {
        { 0, 2, { 0x81, 0 } },
        { 5, 2, { 0x81, 5 } },
        { 125, 2, { 0x81, 125 } },
        { 126, 4, { 0x81, 126, 0x00, 0x7E } },
        { 65535, 4, { 0x81, 126, 0xFF, 0xFF } },
        { 65536, 10, { 0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0 } },
        { 0x0102030405060708, 10, { 0x81, 127, 1, 2, 3, 4, 5, 6, 7, 8 } },
    };
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        struct guarded memory = guarded_map(1);
        uint8_t *out = memory.end - rows[row].length;
        CHECK(gw_ws_header_bytes(rows[row].payload_bytes) == rows[row].length);
        CHECK(gw_ws_encode_header(out, GW_WS_TEXT, rows[row].payload_bytes) == rows[row].length);
        CHECK(memcmp(out, rows[row].header, rows[row].length) == 0);
        guarded_unmap(memory);
    }
}

// RFC 6455 section 5.7: a text of 5, a ping and a pong of 5, binary of 256 and of 65536.
static void frame_encode__writes_the_rfcs_examples(void) {
    static const struct {
        enum gw_ws_opcode opcode;
        uint64_t payload_bytes;
        size_t length;
        uint8_t header[10];
    } rows[] = {
        { GW_WS_TEXT, 5, 2, { 0x81, 0x05 } },
        { GW_WS_PING, 5, 2, { 0x89, 0x05 } },
        { GW_WS_PONG, 5, 2, { 0x8A, 0x05 } },
        { GW_WS_BINARY, 256, 4, { 0x82, 0x7E, 0x01, 0x00 } },
        { GW_WS_BINARY, 65536, 10, { 0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0 } },
    };
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        uint8_t out[GW_WS_SERVER_HEADER_BYTES_MAX];
        CHECK(gw_ws_encode_header(out, rows[row].opcode, rows[row].payload_bytes) == rows[row].length);
        CHECK(memcmp(out, rows[row].header, rows[row].length) == 0);
    }
}

static void frame_encode__writes_close_frames(void) {
    uint8_t out[127];
    CHECK(gw_ws_encode_close(out, 1000, NULL, 0) == 4 && memcmp(out, "\x88\x02\x03\xE8", 4) == 0);
    CHECK(gw_ws_encode_close(out, 1000, NULL, 99) == 4);
    CHECK(gw_ws_encode_close(out, 4001, "bye", 3) == 7 && memcmp(out, "\x88\x05\x0F\xA1" "bye", 7) == 0);
    CHECK(gw_ws_encode_close(out, 1005, "ignored", 7) == 2 && memcmp(out, "\x88\x00", 2) == 0);
}

static void frame_encode__cuts_a_long_reason_at_a_code_point(void) {
    struct guarded memory = guarded_map(127);
    uint8_t *out = memory.end - 127;
    char reason[200];
    memset(reason, 'r', sizeof reason);
    CHECK(gw_ws_encode_close(out, 1000, reason, 123) == 127 && out[1] == 125);
    CHECK(gw_ws_encode_close(out, 1000, reason, 200) == 127 && out[1] == 125);
    memcpy(reason + 121, "\xE2\x82\xAC", 3);
    CHECK(gw_ws_encode_close(out, 1000, reason, 200) == 125 && out[1] == 123 && out[124] == 'r');
    memcpy(reason + 120, "\xE2\x82\xACr", 4);
    CHECK(gw_ws_encode_close(out, 1000, reason, 200) == 127 && out[126] == 0xAC);
    guarded_unmap(memory);
}

int main(void) {
    RUN(frame_encode__writes_the_shortest_header);
    RUN(frame_encode__writes_the_rfcs_examples);
    RUN(frame_encode__writes_close_frames);
    RUN(frame_encode__cuts_a_long_reason_at_a_code_point);
    return 0;
}
