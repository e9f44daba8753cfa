// Frames that every server of this kind has got wrong at some time, over real sockets, and the close code each must get.
// docs/bad-input.md has the same list for readers; what concerns compression is test_gateway_deflate*.c's. After its
// close frame the server ends the connection, the caller is told the same code, no message of it arrives, and no
// buffer is left.
#include "gateway_client.h"

enum { MESSAGE_MAX = 4096, FRAGMENTS_MAX = 1000 };

static void open_server(struct world *w) {
    struct gw_config config = config_usual(16);
    config.message_bytes_max = MESSAGE_MAX;
    config.fragments_max = FRAGMENTS_MAX;
    config.write_stall_ms = 600000;   // of a peer that never reads the bytes count here, however slow the machine is
    world_open(w, &config);
}

// The close code must come next, as the server's last words, and then the connection is gone without a trace.
static void expect_failure(struct world *w, int fd, uint16_t code) {
    uint8_t rest;
    const int told = client_read_close(w, fd);
    if (told != code) {
        fprintf(stderr, "close code %d instead of %d\n", told, code);
    }
    CHECK(told == code);
    CHECK(client_receive_some(w, fd, &rest, 1, WORLD_PATIENCE_MS) == 0);
    close(fd);
    CHECK(world_await(w, GW_EVENT_CLOSED, 0)->code == code);
    CHECK(world_count(w, GW_EVENT_MESSAGE) == 0);
    world_expect_empty(w);
}

// Whole, and once more byte by byte: the answer is the same.
static void expect_close(uint16_t code, const void *bytes, size_t length) {
    for (int bytewise = 0; bytewise < 2; bytewise++) {
        struct world w;
        open_server(&w);
        const int fd = client_open(&w, NULL);
        for (size_t at = 0; at < length; at += bytewise ? 1 : length) {
            client_send(&w, fd, (const uint8_t *)bytes + at, bytewise ? 1 : length);
            world_turn(&w, 0);
        }
        expect_failure(&w, fd, code);
        world_close(&w);
    }
}

// A string literal without its NUL; four zeros are a mask that changes nothing.
#define BYTES(literal) literal, sizeof(literal) - 1
#define MASK "\0\0\0\0"

static void unmasked_frame__is_1002(void) {
    expect_close(1002, BYTES("\x81\x01x"));
    expect_close(1002, BYTES("\x82\x00"));
    expect_close(1002, BYTES("\x89\x00"));
}

static void reserved_bit__is_1002(void) {
    expect_close(1002, BYTES("\xc1\x80" MASK));   // RSV1, with no extension agreed on
    expect_close(1002, BYTES("\xa1\x80" MASK));
    expect_close(1002, BYTES("\x91\x80" MASK));
    expect_close(1002, BYTES("\xc9\x80" MASK));   // on a ping
}

static void reserved_opcode__is_1002(void) {
    static const uint8_t opcodes[] = { 3, 4, 5, 6, 7, 11, 12, 13, 14, 15 };
    for (size_t i = 0; i < sizeof opcodes; i++) {
        const uint8_t frame[] = { (uint8_t)(0x80 | opcodes[i]), 0x80, 0, 0, 0, 0 };
        expect_close(1002, frame, sizeof frame);
    }
}

static void fragmented_control_frame__is_1002(void) {
    expect_close(1002, BYTES("\x08\x80" MASK));
    expect_close(1002, BYTES("\x09\x80" MASK));
    expect_close(1002, BYTES("\x0a\x80" MASK));
}

static void control_frame_of_126_bytes__is_1002(void) {
    uint8_t payload[126] = { 0 }, frame[140];
    static const uint8_t firsts[] = { 0x88, 0x89, 0x8a };
    for (size_t i = 0; i < sizeof firsts; i++) {
        expect_close(1002, frame, frame_write(frame, firsts[i], payload, sizeof payload));
    }
}

static void length_not_in_its_shortest_form__is_1002(void) {
    expect_close(1002, BYTES("\x82\xfe\x00\x7d" MASK));                       // 125 in 16 bits
    expect_close(1002, BYTES("\x82\xff\0\0\0\0\0\0\xff\xff" MASK));           // 65535 in 64 bits
}

static void length_with_its_highest_bit__is_1002(void) {
    expect_close(1002, BYTES("\x82\xff\x80\0\0\0\0\0\0\0" MASK));             // 2^63
    expect_close(1002, BYTES("\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff" MASK));
}

static void length_beyond_the_limit__is_1009_before_its_bytes_come(void) {
    expect_close(1009, BYTES("\x82\xfe\x10\x01" MASK));                       // 4097
    expect_close(1009, BYTES("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff" MASK));
}

static void orphan_continuation__is_1002(void) {
    expect_close(1002, BYTES("\x80\x80" MASK));
    expect_close(1002, BYTES("\x00\x81" MASK "x"));
}

static void message_inside_a_message__is_1002(void) { expect_close(1002, BYTES("\x01\x80" MASK "\x81\x80" MASK)); }

// Writes until the server stops reading or answers, whichever comes first.
static void flood(struct world *w, int fd, const uint8_t *bytes, size_t length, size_t times) {
    uint8_t answer;
    for (size_t i = 0; i < times && recv(fd, &answer, 1, MSG_PEEK | MSG_DONTWAIT) < 0; i++) {
        client_send(w, fd, bytes, length);
        world_turn(w, 0);
        CHECK(world_stats(w).pool_bytes <= 4 * MESSAGE_MAX);
    }
}

static void endless_continuation__is_1009_at_the_message_limit(void) {
    struct world w;
    uint8_t payload[100] = { 0 }, frame[128];
    open_server(&w);
    const int fd = client_open(&w, NULL);
    client_send_frame(&w, fd, 0x02, payload, sizeof payload);
    flood(&w, fd, frame, frame_write(frame, 0x00, payload, sizeof payload), 1000000);
    expect_failure(&w, fd, 1009);
    world_close(&w);
}

// Nothing of them counts towards the message's bytes, so the fragments themselves are counted.
static void empty_fragments_by_the_million__are_1009_at_the_fragment_limit(void) {
    enum { A_THOUSAND = 1000 };
    struct world w;
    uint8_t frames[A_THOUSAND * 6];
    open_server(&w);
    const int fd = client_open(&w, NULL);
    for (size_t i = 0; i < A_THOUSAND; i++) {
        (void)frame_write(frames + 6 * i, 0x00, NULL, 0);
    }
    client_send_frame(&w, fd, 0x01, NULL, 0);
    flood(&w, fd, frames, sizeof frames, 1000);
    expect_failure(&w, fd, 1009);
    world_close(&w);
}

static void close_code_that_may_not_be_sent__is_1002(void) {
    static const uint16_t codes[] = { 0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535 };
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        const uint8_t frame[] = { 0x88, 0x82, 0, 0, 0, 0, (uint8_t)(codes[i] >> 8), (uint8_t)codes[i] };
        expect_close(1002, frame, sizeof frame);
    }
}

static void close_of_one_byte__is_1002(void) { expect_close(1002, BYTES("\x88\x81" MASK "\x03")); }

static void broken_utf8_in_text__is_1007(void) {
    expect_close(1007, BYTES("\x81\x82" MASK "\xc0\x80"));           // overlong
    expect_close(1007, BYTES("\x81\x83" MASK "\xed\xa0\x80"));       // a surrogate
    expect_close(1007, BYTES("\x81\x84" MASK "\xf4\x90\x80\x80"));   // above U+10FFFF
    expect_close(1007, BYTES("\x81\x82" MASK "\xe2\x82"));           // cut off at the message's end
}

// It is told when it is seen, not when the message ends, which it may never do.
static void broken_utf8_in_an_unfinished_fragment__is_1007(void) {
    expect_close(1007, BYTES("\x01\x84" MASK "ab\xc3("));
    expect_close(1007, BYTES("\x01\x81" MASK "\xe2\x00\x81" MASK "x"));
}

static void broken_utf8_in_a_close_reason__is_1007(void) {
    expect_close(1007, BYTES("\x88\x83" MASK "\x03\xe8\xff"));
    expect_close(1007, BYTES("\x88\x84" MASK "\x03\xe8\xe2\x82"));
}

// A peer that pings and never reads costs one bounded queue and one held pong, and stays connected. When it reads, its
// latest ping has been answered, as RFC 6455 section 5.5.3 allows.
static void ping_flood_with_unread_pongs__is_bounded_and_ends_with_the_latest_pong(void) {
    enum { PINGS = 50000 };
    struct world w;
    uint8_t payload[125] = { 0 }, frame[140];
    open_server(&w);
    const int fd = client_open_sized(&w, NULL, 4096);
    for (uint32_t ping = 1; ping <= PINGS; ping++) {
        memcpy(payload, &ping, sizeof ping);
        client_send(&w, fd, frame, frame_write(frame, 0x89, payload, sizeof payload));
        if (ping % 64 == 0) {
            world_turn(&w, 0);
            CHECK(world_stats(&w).pool_bytes <= 65536);
        }
    }
    for (uint32_t pong = 0; pong != PINGS;) {
        uint32_t next;
        CHECK(client_read_frame(&w, fd, payload, sizeof payload).first == 0x8a);
        memcpy(&next, payload, sizeof next);
        CHECK(next > pong);
        pong = next;
    }
    CHECK(world_count(&w, GW_EVENT_CLOSED) == 0);
    client_send_close(&w, fd, 1000);
    CHECK(client_read_close(&w, fd) == 1000);
    close(fd);
    world_close(&w);
}

int main(void) {
    RUN(unmasked_frame__is_1002);
    RUN(reserved_bit__is_1002);
    RUN(reserved_opcode__is_1002);
    RUN(fragmented_control_frame__is_1002);
    RUN(control_frame_of_126_bytes__is_1002);
    RUN(length_not_in_its_shortest_form__is_1002);
    RUN(length_with_its_highest_bit__is_1002);
    RUN(length_beyond_the_limit__is_1009_before_its_bytes_come);
    RUN(orphan_continuation__is_1002);
    RUN(message_inside_a_message__is_1002);
    RUN(endless_continuation__is_1009_at_the_message_limit);
    RUN(empty_fragments_by_the_million__are_1009_at_the_fragment_limit);
    RUN(close_code_that_may_not_be_sent__is_1002);
    RUN(close_of_one_byte__is_1002);
    RUN(broken_utf8_in_text__is_1007);
    RUN(broken_utf8_in_an_unfinished_fragment__is_1007);
    RUN(broken_utf8_in_a_close_reason__is_1007);
    RUN(ping_flood_with_unread_pongs__is_bounded_and_ends_with_the_latest_pong);
    return 0;
}
