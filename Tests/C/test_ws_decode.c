// The frame decoder on frames that are right: RFC 6455's own examples, every length form, fragments with control
// frames between them, limits reached but not passed, and random conversations.
#include "frames.h"

static struct gw_ws_config config;
static struct wire wire;

static void begin(void) {
    config = (struct gw_ws_config){ .message_bytes_max = 256 * 1024, .fragments_max = 8, .pool = config.pool };
    wire.length = 0;
}

static void check(const char *wanted) { frames_check(__func__, &config, &wire, wanted); }

static void frame_decode__reads_the_rfcs_masked_hello(void) {
    static const uint8_t hello[] = { 0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58 };
    begin();
    wire_bytes(&wire, hello, sizeof hello);
    check("text 'Hello'\n");
}

static void frame_decode__reads_the_rfcs_masked_pong(void) {
    static const uint8_t pong[] = { 0x8A, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58 };
    begin();
    wire_bytes(&wire, pong, sizeof pong);
    check("pong 'Hello'\n");
}

// The RFC shows these unmasked, as a server would send them; a client masks them.
static void frame_decode__reads_the_rfcs_fragments_masked(void) {
    begin();
    wire_frame(&wire, 0x01, "Hel", 3);
    wire_frame(&wire, 0x80, "lo", 2);
    check("text 'Hello'\n");
}

static void frame_decode__refuses_the_rfcs_unmasked_hello(void) {
    static const uint8_t hello[] = { 0x81, 0x05, 'H', 'e', 'l', 'l', 'o' };
    begin();
    wire_bytes(&wire, hello, sizeof hello);
    check("error 1002\n");
}

static void frame_decode__reads_every_length_form(void) {
    static const size_t lengths[] = { 0, 1, 2, 7, 8, 9, 15, 16, 17, 63, 64, 65, 124, 125, 126, 127, 128, 256, 65534,
                                      65535, 65536, 65537, 100000 };
    static uint8_t payload[100000];
    for (size_t index = 0; index < sizeof payload; index++) {
        payload[index] = (uint8_t)(' ' + index % 90);
    }
    for (unsigned opcode = GW_WS_TEXT; opcode <= GW_WS_BINARY; opcode++) {
        for (size_t row = 0; row < sizeof lengths / sizeof lengths[0]; row++) {
            static struct transcript wanted;
            begin();
            wire_frame(&wire, (uint8_t)(0x80 | opcode), payload, lengths[row]);
            wanted.length = 0;
            transcript_add(&wanted, opcode == GW_WS_TEXT ? "text " : "binary ");
            transcript_payload(&wanted, payload, lengths[row]);
            check(wanted.text);
        }
    }
}

static void frame_decode__takes_many_frames_from_one_piece(void) {
    begin();
    wire_frame(&wire, 0x81, "one", 3);
    wire_frame(&wire, 0x82, "", 0);
    wire_frame(&wire, 0x89, "p", 1);
    wire_frame(&wire, 0x81, "", 0);
    wire_frame(&wire, 0x8A, "", 0);
    wire_frame(&wire, 0x82, "two", 3);
    wire_frame(&wire, 0x88, "", 0);
    check("text 'one'\nbinary ''\nping 'p'\ntext ''\npong ''\nbinary 'two'\nclose 1005 ''\n");
}

static void frame_decode__takes_control_frames_between_fragments(void) {
    char long_ping[125];
    memset(long_ping, 'x', sizeof long_ping);
    static struct transcript wanted;
    wanted.length = 0;
    transcript_add(&wanted, "ping 'a'\nping ");
    transcript_payload(&wanted, (const uint8_t *)long_ping, sizeof long_ping);
    transcript_add(&wanted, "pong ''\ntext 'Hello'\nbinary 'x'\n");
    begin();
    wire_frame(&wire, 0x01, "He", 2);
    wire_frame(&wire, 0x89, "a", 1);
    wire_frame(&wire, 0x00, "ll", 2);
    wire_frame(&wire, 0x89, long_ping, sizeof long_ping);
    wire_frame(&wire, 0x8A, "", 0);
    wire_frame(&wire, 0x80, "o", 1);
    wire_frame(&wire, 0x82, "x", 1);
    check(wanted.text);
}

static void frame_decode__takes_empty_fragments_anywhere(void) {
    begin();
    wire_frame(&wire, 0x01, "", 0);
    wire_frame(&wire, 0x00, "", 0);
    wire_frame(&wire, 0x00, "Hello", 5);
    wire_frame(&wire, 0x00, "", 0);
    wire_frame(&wire, 0x80, "", 0);
    wire_frame(&wire, 0x02, "", 0);
    wire_frame(&wire, 0x80, "", 0);
    check("text 'Hello'\nbinary ''\n");
}

static void frame_decode__takes_exactly_the_limits(void) {
    begin();
    config.message_bytes_max = 10;
    config.fragments_max = 3;
    wire_frame(&wire, 0x82, "0123456789", 10);
    wire_frame(&wire, 0x02, "01234", 5);
    wire_frame(&wire, 0x00, "567", 3);
    wire_frame(&wire, 0x80, "89", 2);
    wire_frame(&wire, 0x02, "", 0);
    wire_frame(&wire, 0x00, "", 0);
    wire_frame(&wire, 0x80, "", 0);
    check("binary '0123456789'\nbinary '0123456789'\nbinary ''\n");
}

static void frame_decode__takes_utf8_split_over_fragments(void) {
    static struct transcript wanted;
    wanted.length = 0;
    transcript_add(&wanted, "ping ");
    transcript_payload(&wanted, (const uint8_t *)"\xFF", 1);
    transcript_add(&wanted, "text ");
    transcript_payload(&wanted, (const uint8_t *)"\xF0\x9F\x98\x80!", 5);
    begin();
    wire_frame(&wire, 0x01, "\xF0", 1);
    wire_frame(&wire, 0x00, "\x9F\x98", 2);
    wire_frame(&wire, 0x89, "\xFF", 1);
    wire_frame(&wire, 0x80, "\x80!", 2);
    check(wanted.text);
}

static void frame_decode__leaves_binary_alone(void) {
    static struct transcript wanted;
    wanted.length = 0;
    for (int count = 0; count < 2; count++) {
        transcript_add(&wanted, "binary ");
        transcript_payload(&wanted, (const uint8_t *)"\xED\xA0\x80", 3);
    }
    begin();
    wire_frame(&wire, 0x82, "\xED\xA0\x80", 3);
    wire_frame(&wire, 0x02, "\xED\xA0", 2);
    wire_frame(&wire, 0x80, "\x80", 1);
    check(wanted.text);
}

static void frame_decode__reads_every_close_code_that_may_be_sent(void) {
    static const uint16_t codes[] = { 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000,
                                      3999, 4000, 4999 };
    for (size_t row = 0; row < sizeof codes / sizeof codes[0]; row++) {
        const uint8_t bare[2] = { (uint8_t)(codes[row] >> 8), (uint8_t)codes[row] };
        uint8_t reasoned[125] = { bare[0], bare[1] };
        memset(reasoned + 2, 'r', sizeof reasoned - 2);
        static struct transcript wanted;
        wanted.length = 0;
        transcript_add(&wanted, "close %u ''\nclose %u ", codes[row], codes[row]);
        transcript_payload(&wanted, reasoned + 2, sizeof reasoned - 2);
        begin();
        wire_frame(&wire, 0x88, bare, sizeof bare);
        wire_frame(&wire, 0x88, reasoned, sizeof reasoned);
        check(wanted.text);
    }
}

static void frame_decode__hands_out_what_has_arrived_of_a_frame(void) {
    begin();
    wire_frame(&wire, 0x82, "0123456789", 10);
    struct gw_ws_decoder decoder;
    struct gw_ws_item item;
    size_t consumed;
    gw_ws_decoder_init(&decoder);
    CHECK(gw_ws_decode(&decoder, &config, wire.bytes, 9, &consumed, &item) == GW_WS_DATA);
    CHECK(consumed == 9 && item.length == 3 && item.first && !item.last && item.frame_left == 7);
    CHECK(gw_ws_decode(&decoder, &config, wire.bytes + 9, 0, &consumed, &item) == GW_WS_MORE && consumed == 0);
    CHECK(gw_ws_decode(&decoder, &config, wire.bytes + 9, 7, &consumed, &item) == GW_WS_DATA);
    CHECK(consumed == 7 && item.length == 7 && !item.first && item.last && item.frame_left == 0);
    CHECK(memcmp(wire.bytes + 6, "0123456789", 10) == 0);
    gw_ws_decoder_deinit(&decoder, config.pool);
}

static void frame_decode__holds_a_buffer_only_while_a_control_frame_is_split(void) {
    begin();
    wire_frame(&wire, 0x89, "0123456789", 10);
    struct gw_ws_decoder decoder;
    struct gw_ws_item item;
    size_t consumed;
    gw_ws_decoder_init(&decoder);
    CHECK(gw_ws_decode(&decoder, &config, wire.bytes, 6, &consumed, &item) == GW_WS_MORE);
    CHECK(gw_pool_held_bytes(config.pool) == 0);
    CHECK(gw_ws_decode(&decoder, &config, wire.bytes + 6, 4, &consumed, &item) == GW_WS_MORE);
    CHECK(gw_pool_held_bytes(config.pool) == 512);
    CHECK(gw_ws_decode(&decoder, &config, wire.bytes + 10, 6, &consumed, &item) == GW_WS_CONTROL);
    CHECK(gw_pool_held_bytes(config.pool) == 0);
    CHECK(item.length == 10 && memcmp(item.data, "0123456789", 10) == 0);
    CHECK(sizeof decoder <= 56);
}

// Conversations of random frames, written down as they are made.
static void frame_decode__reads_random_conversations(void) {
    static struct transcript wanted;
    static uint8_t message[4096];
    uint64_t seed = 99;
    for (int round = 0; round < 300; round++) {
        begin();
        wanted.length = 0;
        for (int count = 0; count < 8; count++) {
            const bool text = test_random(&seed) % 2;
            const size_t length = test_random(&seed) % (sizeof message >> test_random(&seed) % 10);
            for (size_t index = 0; index < length; index++) {
                message[index] = text ? (uint8_t)(' ' + test_random(&seed) % 94) : (uint8_t)test_random(&seed);
            }
            const size_t fragments = 1 + test_random(&seed) % 4;
            for (size_t fragment = 0, at = 0; fragment < fragments; fragment++) {
                const bool last = fragment + 1 == fragments;
                const size_t piece = last ? length - at : test_random(&seed) % (length - at + 1);
                const uint8_t opcode = fragment > 0 ? 0 : text ? GW_WS_TEXT : GW_WS_BINARY;
                wire_frame(&wire, (uint8_t)(opcode | (last ? 0x80 : 0)), message + at, piece);
                at += piece;
                if (!last && test_random(&seed) % 3 == 0) {
                    const size_t ping = test_random(&seed) % 126;
                    wire_frame(&wire, 0x89, message, ping < length ? ping : length);
                    transcript_add(&wanted, "ping ");
                    transcript_payload(&wanted, message, ping < length ? ping : length);
                }
            }
            transcript_add(&wanted, text ? "text " : "binary ");
            transcript_payload(&wanted, message, length);
        }
        check(wanted.text);
    }
}

// Whatever the bytes, a feed ends and the ways of feeding agree.
static void frame_decode__agrees_with_itself_on_noise(void) {
    static struct transcript whole;
    struct guarded memory = guarded_map(512);
    uint64_t seed = 5;
    for (int round = 0; round < 20000; round++) {
        begin();
        config.message_bytes_max = 300;
        for (int frames = 0; frames < 4; frames++) {
            uint8_t noise[160];
            const size_t length = test_random(&seed) % sizeof noise;
            for (size_t index = 0; index < length; index++) {
                noise[index] = test_random(&seed) % 8 ? 'n' : (uint8_t)test_random(&seed);
            }
            static const uint8_t firsts[] = { 0x81, 0x01, 0x80, 0x00, 0x82, 0x89, 0x88, 0x02 };
            wire_frame(&wire, firsts[test_random(&seed) % sizeof firsts], noise, length < 126 ? length : length / 2);
        }
        wire.length = wire.length < 500 ? wire.length : 500;
        if (test_random(&seed) % 2) {
            wire.bytes[test_random(&seed) % (wire.length + 1)] ^= (uint8_t)(1u << test_random(&seed) % 8);
        }
        frames_run(&config, &wire, FEED_WHOLE, memory, &whole);
        frames_check(__func__, &config, &wire, whole.text);
    }
    guarded_unmap(memory);
}

int main(void) {
    CHECK(gw_pool_create(64 * 1024, 8192, &config.pool) == 0);
    RUN(frame_decode__reads_the_rfcs_masked_hello);
    RUN(frame_decode__reads_the_rfcs_masked_pong);
    RUN(frame_decode__reads_the_rfcs_fragments_masked);
    RUN(frame_decode__refuses_the_rfcs_unmasked_hello);
    RUN(frame_decode__reads_every_length_form);
    RUN(frame_decode__takes_many_frames_from_one_piece);
    RUN(frame_decode__takes_control_frames_between_fragments);
    RUN(frame_decode__takes_empty_fragments_anywhere);
    RUN(frame_decode__takes_exactly_the_limits);
    RUN(frame_decode__takes_utf8_split_over_fragments);
    RUN(frame_decode__leaves_binary_alone);
    RUN(frame_decode__reads_every_close_code_that_may_be_sent);
    RUN(frame_decode__hands_out_what_has_arrived_of_a_frame);
    RUN(frame_decode__holds_a_buffer_only_while_a_control_frame_is_split);
    RUN(frame_decode__reads_random_conversations);
    RUN(frame_decode__agrees_with_itself_on_noise);
    gw_pool_destroy(config.pool);
    return 0;
}
