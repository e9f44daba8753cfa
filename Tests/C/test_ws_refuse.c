// The frame decoder on frames that are wrong, each with the close code it has to end with, however it arrives.
#include "frames.h"

static struct gw_ws_config config;
static struct wire wire;

static void begin(void) {
    config = (struct gw_ws_config){ .message_bytes_max = 1000, .fragments_max = 4, .pool = config.pool };
    wire.length = 0;
}

static void check(const char *name, const char *wanted) { frames_check(name, &config, &wire, wanted); }

// Bytes as they come, each row one mistake. Those after a header's wrong beginning do not matter.
static void frame_decode__rejects_malformed_headers(void) {
#define ROW(name, bytes) { name, bytes, sizeof bytes - 1 }
    static const struct {
        const char *name, *bytes;
        size_t length;
    } rows[] = {
        ROW("unmasked text", "\x81\x05Hello"),
        ROW("unmasked empty", "\x81\x00"),
        ROW("unmasked ping", "\x89\x00"),
        ROW("unmasked close", "\x88\x02\x03\xE8"),
        ROW("RSV1", "\xC1\x80mask"),
        ROW("RSV2", "\xA1\x80mask"),
        ROW("RSV3", "\x91\x80mask"),
        ROW("all RSV on a ping", "\xF9\x80mask"),
        ROW("opcode 3", "\x83\x80mask"),
        ROW("opcode 4", "\x84\x80mask"),
        ROW("opcode 5", "\x85\x80mask"),
        ROW("opcode 6", "\x86\x80mask"),
        ROW("opcode 7", "\x87\x80mask"),
        ROW("opcode B", "\x8B\x80mask"),
        ROW("opcode C", "\x8C\x80mask"),
        ROW("opcode D", "\x8D\x80mask"),
        ROW("opcode E", "\x8E\x80mask"),
        ROW("opcode F", "\x8F\x80mask"),
        ROW("fragmented opcode 3", "\x03\x80mask"),
        ROW("fragmented ping", "\x09\x80mask"),
        ROW("fragmented pong", "\x0A\x81mask1"),
        ROW("fragmented close", "\x08\x80mask"),
        ROW("ping of 126 bytes", "\x89\xFE\x00\x7Emask"),
        ROW("pong of 64 bits", "\x8A\xFF\0\0\0\0\0\0\0\x01mask"),
        ROW("close of 126 bytes", "\x88\xFE\x00\x7Emask"),
        ROW("16 bits for 0", "\x81\xFE\x00\x00mask"),
        ROW("16 bits for 125", "\x81\xFE\x00\x7Dmask"),
        ROW("64 bits for 0", "\x81\xFF\0\0\0\0\0\0\0\0mask"),
        ROW("64 bits for 125", "\x82\xFF\0\0\0\0\0\0\0\x7Dmask"),
        ROW("64 bits for 65535", "\x82\xFF\0\0\0\0\0\0\xFF\xFFmask"),
        ROW("2^63", "\x82\xFF\x80\0\0\0\0\0\0\0mask"),
        ROW("2^64 - 1", "\x82\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFFmask"),
        ROW("orphan continuation", "\x80\x80mask"),
        ROW("orphan fragment", "\x00\x81mask1"),
    };
#undef ROW
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        begin();
        wire_bytes(&wire, rows[row].bytes, rows[row].length);
        check(rows[row].name, "error 1002\n");
        // The same after a message.
        begin();
        wire_frame(&wire, 0x81, "Hi", 2);
        wire_bytes(&wire, rows[row].bytes, rows[row].length);
        check(rows[row].name, "text 'Hi'\nerror 1002\n");
    }
}

static void frame_decode__rejects_a_new_message_inside_one(void) {
    static const uint8_t firsts[] = { 0x81, 0x01, 0x82, 0x02 };
    for (size_t row = 0; row < sizeof firsts; row++) {
        begin();
        wire_frame(&wire, 0x01, "He", 2);
        wire_frame(&wire, 0x89, "", 0);
        wire_frame(&wire, firsts[row], "llo", 3);
        check("inside", "ping ''\nerror 1002\n");
    }
}

static void frame_decode__rejects_a_continuation_after_the_last(void) {
    begin();
    wire_frame(&wire, 0x01, "He", 2);
    wire_frame(&wire, 0x80, "y", 1);
    wire_frame(&wire, 0x80, "you", 3);
    check("after", "text 'Hey'\nerror 1002\n");
}

static void frame_decode__rejects_rsv_and_unmasked_inside_a_message(void) {
    begin();
    wire_frame(&wire, 0x01, "He", 2);
    wire_frame(&wire, 0xC0, "y", 1);
    check("RSV1", "error 1002\n");
    begin();
    wire_frame(&wire, 0x01, "He", 2);
    wire_bytes(&wire, "\x80\x01y", 3);
    check("unmasked", "error 1002\n");
}

static void frame_decode__rejects_fragmented_ping(void) {
    begin();
    wire_frame(&wire, 0x09, "fragment", 8);
    wire_frame(&wire, 0x80, "ed", 2);
    check("ping", "error 1002\n");
}

static void frame_decode__rejects_messages_over_the_limit_by_their_headers(void) {
    begin();
    wire_frame_raw(&wire, 0x82, 16, 1001, "", 0);
    check("one byte over", "error 1009\n");
    begin();
    wire_frame_raw(&wire, 0x82, 64, INT64_MAX, "", 0);
    check("2^63 - 1", "error 1009\n");
    begin();
    wire_frame(&wire, 0x02, "0123456789", 10);
    wire_frame_raw(&wire, 0x80, 16, 991, "", 0);
    check("over in two fragments", "error 1009\n");
    begin();
    wire_frame(&wire, 0x02, "0123456789", 10);
    wire_frame_raw(&wire, 0x00, 64, INT64_MAX, "", 0);
    check("a sum over 2^63", "error 1009\n");
    begin();
    config.message_bytes_max = 0;
    wire_frame(&wire, 0x81, "", 0);
    wire_frame(&wire, 0x81, "x", 1);
    check("nothing but empty messages", "text ''\nerror 1009\n");
}

static void frame_decode__rejects_too_many_fragments(void) {
    begin();
    wire_frame(&wire, 0x02, "a", 1);
    for (int count = 0; count < 50; count++) {
        wire_frame(&wire, 0x00, "b", 1);
    }
    check("endless continuation", "error 1009\n");
    begin();
    wire_frame(&wire, 0x01, "", 0);
    for (int count = 0; count < 50; count++) {
        wire_frame(&wire, 0x00, "", 0);
    }
    check("empty fragments", "error 1009\n");
    begin();
    config.fragments_max = 0;
    wire_frame(&wire, 0x81, "whole", 5);
    wire_frame(&wire, 0x01, "in", 2);
    wire_frame(&wire, 0x80, "two", 3);
    check("no fragments at all", "text 'whole'\nerror 1009\n");
}

static void frame_decode__rejects_close_codes_that_may_not_be_sent(void) {
    static const uint16_t codes[] = { 0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535 };
    for (size_t row = 0; row < sizeof codes / sizeof codes[0]; row++) {
        const uint8_t payload[4] = { (uint8_t)(codes[row] >> 8), (uint8_t)codes[row], 'o', 'k' };
        char name[16];
        snprintf(name, sizeof name, "%u", codes[row]);
        begin();
        wire_frame(&wire, 0x88, payload, 2);
        check(name, "error 1002\n");
        begin();
        wire_frame(&wire, 0x88, payload, 4);
        check(name, "error 1002\n");
    }
}

static void frame_decode__rejects_a_close_of_one_byte(void) {
    begin();
    wire_frame(&wire, 0x88, "\x03", 1);
    check("one byte", "error 1002\n");
}

static const struct {
    const char *name, *text;
} broken_texts[] = {
    { "lone continuation byte", "\x80" },
    { "FF", "\xFF" },
    { "overlong NUL", "\xC0\x80" },
    { "overlong slash", "\xC0\xAF" },
    { "overlong in three", "\xE0\x9F\xBF" },
    { "overlong in four", "\xF0\x8F\xBF\xBF" },
    { "first surrogate", "\xED\xA0\x80" },
    { "last surrogate", "\xED\xBF\xBF" },
    { "above U+10FFFF", "\xF4\x90\x80\x80" },
    { "cut in two", "\xE2\x82" },
    { "cut in one", "\xC3" },
    { "cut in three", "\xF0\x9F\x98" },
    { "five bytes", "\xF8\x88\x80\x80\x80" },
    { "latin 1", "caf\xE9 au lait, and then enough ASCII to fill the word that the byte began" },
    { "late", "thirty-two bytes and more of ASCII, then \xFE" },
};

static void frame_decode__rejects_broken_utf8_in_text(void) {
    for (size_t row = 0; row < sizeof broken_texts / sizeof broken_texts[0]; row++) {
        const size_t length = strlen(broken_texts[row].text);
        begin();
        wire_frame(&wire, 0x81, broken_texts[row].text, length);
        check(broken_texts[row].name, "error 1007\n");
        for (size_t at = 0; at <= length; at++) {
            begin();
            wire_frame(&wire, 0x01, broken_texts[row].text, at);
            wire_frame(&wire, 0x89, "", 0);
            wire_frame(&wire, 0x80, broken_texts[row].text + at, length - at);
            static struct transcript transcript;
            struct guarded memory = guarded_map(wire.length);
            for (unsigned way = 0; way < FEED_WAYS; way++) {
                // Before the ping or after it, depending on where the text breaks; but no text is handed out whole.
                frames_run(&config, &wire, way, memory, &transcript);
                CHECK_ROW(broken_texts[row].name, strstr(transcript.text, "error 1007\n") != NULL &&
                                                  strstr(transcript.text, "text") == NULL);
            }
            guarded_unmap(memory);
        }
    }
}

// RFC 6455 section 8.1 and Autobahn's 6.4: the byte that breaks the text ends the connection, not the frame's end.
static void frame_decode__finds_broken_utf8_at_its_byte(void) {
    static const uint8_t text[] = "\xCE\xBA\xE1\xBD\xB9\xCF\x83\xCE\xBC\xCE\xB5\xF4\x90\x80\x80 and so on";
    enum { BREAKS_AT = 12 };
    begin();
    wire_frame(&wire, 0x81, text, sizeof text - 1);
    struct gw_ws_decoder decoder;
    gw_ws_decoder_init(&decoder);
    for (size_t at = 0;; at++) {
        struct gw_ws_item item;
        size_t consumed;
        const enum gw_ws_result result = gw_ws_decode(&decoder, &config, wire.bytes + at, 1, &consumed, &item);
        if (result == GW_WS_ERROR) {
            CHECK(item.close_code == 1007 && at == 6 + BREAKS_AT);
            break;
        }
        CHECK(at < 6 + BREAKS_AT);
    }
    gw_ws_decoder_deinit(&decoder, config.pool);
}

static void frame_decode__rejects_broken_utf8_in_a_close_reason(void) {
    for (size_t row = 0; row < sizeof broken_texts / sizeof broken_texts[0]; row++) {
        uint8_t payload[125] = { 0x03, 0xE8 };
        const size_t length = strlen(broken_texts[row].text);
        memcpy(payload + 2, broken_texts[row].text, length);
        begin();
        wire_frame(&wire, 0x88, payload, 2 + length);
        check(broken_texts[row].name, "error 1007\n");
    }
}

static void frame_decode__asks_to_come_later_when_the_pool_is_empty(void) {
    begin();
    struct gw_pool *full;
    CHECK(gw_pool_create(512, 512, &full) == 0);
    struct gw_buf *all = gw_buf_acquire(full, 512);
    config.pool = full;
    wire_frame(&wire, 0x89, "0123", 4);
    struct gw_ws_decoder decoder;
    struct gw_ws_item item;
    size_t consumed;
    // Whole, it needs no buffer.
    gw_ws_decoder_init(&decoder);
    CHECK(gw_ws_decode(&decoder, &config, wire.bytes, wire.length, &consumed, &item) == GW_WS_CONTROL);
    CHECK(gw_ws_decode(&decoder, &config, wire.bytes, wire.length - 1, &consumed, &item) == GW_WS_ERROR);
    CHECK(item.close_code == 1013);
    gw_ws_decoder_deinit(&decoder, full);
    gw_buf_release(full, all);

    // Given up in the middle, it gives its buffer back.
    gw_ws_decoder_init(&decoder);
    CHECK(gw_ws_decode(&decoder, &config, wire.bytes, wire.length - 1, &consumed, &item) == GW_WS_MORE);
    CHECK(gw_pool_held_bytes(full) == 512);
    gw_ws_decoder_deinit(&decoder, full);
    gw_pool_destroy(full);
}

int main(void) {
    struct gw_pool *pool;
    CHECK(gw_pool_create(64 * 1024, 8192, &pool) == 0);
    config.pool = pool;
    RUN(frame_decode__rejects_malformed_headers);
    RUN(frame_decode__rejects_a_new_message_inside_one);
    RUN(frame_decode__rejects_a_continuation_after_the_last);
    RUN(frame_decode__rejects_rsv_and_unmasked_inside_a_message);
    RUN(frame_decode__rejects_fragmented_ping);
    RUN(frame_decode__rejects_messages_over_the_limit_by_their_headers);
    RUN(frame_decode__rejects_too_many_fragments);
    RUN(frame_decode__rejects_close_codes_that_may_not_be_sent);
    RUN(frame_decode__rejects_a_close_of_one_byte);
    RUN(frame_decode__rejects_broken_utf8_in_text);
    RUN(frame_decode__finds_broken_utf8_at_its_byte);
    RUN(frame_decode__rejects_broken_utf8_in_a_close_reason);
    RUN(frame_decode__asks_to_come_later_when_the_pool_is_empty);
    gw_pool_destroy(pool);
    return 0;
}
