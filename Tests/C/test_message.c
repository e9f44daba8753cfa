// The joiner: nothing is copied that need not be, what is gathered is right, and what it holds of the pool is
// bounded by what has arrived.
#include "gw_message.h"
#include "test.h"

enum { KIB = 1024 };

static struct gw_pool *pool_of(uint64_t bytes_max, uint32_t buffer_bytes_max) {
    struct gw_pool *pool = NULL;
    CHECK(gw_pool_create(bytes_max, buffer_bytes_max, &pool) == 0);
    return pool;
}

static struct gw_ws_item piece_of(uint8_t *data, uint64_t length, uint64_t frame_left, bool first, bool last) {
    struct gw_ws_item item;
    memset(&item, 0xEE, sizeof item);
    item.data = data;
    item.length = length;
    item.frame_left = frame_left;
    item.opcode = GW_WS_BINARY;
    item.first = first;
    item.last = last;
    return item;
}

static void message__is_not_copied_when_whole(void) {
    struct gw_pool *pool = pool_of(4 * KIB, 512);
    struct gw_message message = { 0 };
    uint8_t bytes[] = "whole", *data;
    uint64_t length;
    struct gw_buf *buf = (struct gw_buf *)bytes;
    const struct gw_ws_item item = piece_of(bytes, sizeof bytes, 0, true, true);
    CHECK(gw_message_add(&message, pool, &item, &data, &length, &buf) == GW_MESSAGE_WHOLE);
    CHECK(data == bytes && length == sizeof bytes && buf == NULL);
    CHECK(gw_pool_held_bytes(pool) == 0);
    gw_pool_destroy(pool);
}

// A message of every size in pieces of every kind, with and without its frame's length told ahead.
static void message__is_gathered_from_any_pieces(void) {
    enum { BYTES_MAX = 100 * KIB };
    static uint8_t bytes[BYTES_MAX];
    struct gw_pool *pool = pool_of(1024 * KIB, BYTES_MAX);
    uint64_t seed = 11;
    for (size_t index = 0; index < BYTES_MAX; index++) {
        bytes[index] = (uint8_t)test_random(&seed);
    }
    for (int round = 0; round < 2000; round++) {
        struct gw_message message = { 0 };
        const uint64_t total = 2 + test_random(&seed) % (BYTES_MAX - 2) / (1u << test_random(&seed) % 16);
        const bool announced = test_random(&seed) % 2;
        for (uint64_t at = 0; at < total || at == 0;) {
            const uint64_t left = total - at;
            const uint64_t piece = at == 0 ? 1 + test_random(&seed) % (left - 1) : 1 + test_random(&seed) % left;
            const bool last = piece == left;
            const struct gw_ws_item item = piece_of(bytes + at, piece, announced ? left - piece : 0, at == 0, last);
            uint8_t *data;
            uint64_t length;
            struct gw_buf *buf = NULL;
            const enum gw_message_result result = gw_message_add(&message, pool, &item, &data, &length, &buf);
            at += piece;
            CHECK(result == (last ? GW_MESSAGE_WHOLE : GW_MESSAGE_MORE));
            // Sixteen times, and up to the next class of four times more.
            CHECK(gw_pool_held_bytes(pool) <= (at * GW_MESSAGE_AHEAD < 512 ? 512 : at * GW_MESSAGE_AHEAD * 4));
            if (last) {
                CHECK(length == total && memcmp(data, bytes, total) == 0);
                CHECK(buf != NULL && message.gathered == NULL && data >= buf->data && buf->count == 1);
                CHECK(gw_buf_length(buf) == total);
                gw_buf_release(pool, buf);
            }
        }
        CHECK(gw_pool_held_bytes(pool) == 0);
    }
    gw_pool_destroy(pool);
}

static void message__grows_by_size_class(void) {
    struct gw_pool *pool = pool_of(64 * KIB, 8 * KIB);
    struct gw_message message = { 0 };
    enum { PIECE = KIB - GW_MESSAGE_ROOM_BYTES };
    static uint8_t bytes[KIB];
    static const uint64_t held[] = { 2 * KIB, 2 * KIB, 8 * KIB, 8 * KIB, 8 * KIB, 8 * KIB, 8 * KIB, 8 * KIB };
    uint8_t *data;
    uint64_t length;
    struct gw_buf *buf;
    for (size_t count = 0; count < sizeof held / sizeof held[0]; count++) {
        const struct gw_ws_item item = piece_of(bytes, PIECE, 0, count == 0, false);
        CHECK(gw_message_add(&message, pool, &item, &data, &length, &buf) == GW_MESSAGE_MORE);
        CHECK(gw_pool_held_bytes(pool) == held[count]);
    }
    // It fits no class now; what is gathered stays until the connection lets go.
    const struct gw_ws_item item = piece_of(bytes, KIB, 0, false, true);
    CHECK(gw_message_add(&message, pool, &item, &data, &length, &buf) == GW_MESSAGE_NOBUFS);
    gw_message_deinit(&message, pool);
    gw_message_deinit(&message, pool);
    CHECK(gw_pool_held_bytes(pool) == 0);
    gw_pool_destroy(pool);
}

static void message__takes_room_ahead_for_what_its_frame_announces(void) {
    struct gw_pool *pool = pool_of(512 * KIB, 128 * KIB);
    struct gw_message message = { 0 };
    static uint8_t bytes[8 * KIB];
    uint8_t *data;
    uint64_t length;
    struct gw_buf *buf;
    struct gw_ws_item item = piece_of(bytes, 8 * KIB, 92 * KIB, true, false);
    CHECK(gw_message_add(&message, pool, &item, &data, &length, &buf) == GW_MESSAGE_MORE);
    CHECK(gw_pool_held_bytes(pool) == 128 * KIB);
    gw_message_deinit(&message, pool);

    item = piece_of(bytes, 1, 100 * KIB, true, false);
    CHECK(gw_message_add(&message, pool, &item, &data, &length, &buf) == GW_MESSAGE_MORE);
    CHECK(gw_pool_held_bytes(pool) == 512);
    gw_message_deinit(&message, pool);
    gw_pool_destroy(pool);
}

static void message__makes_do_with_less_ahead_when_the_pool_is_short(void) {
    struct gw_pool *pool = pool_of(12 * KIB, 8 * KIB);
    struct gw_buf *taken = gw_buf_acquire(pool, 8 * KIB);
    struct gw_message message = { 0 };
    static uint8_t bytes[2 * KIB];
    uint8_t *data;
    uint64_t length;
    struct gw_buf *buf;
    struct gw_ws_item item = piece_of(bytes, KIB, 6 * KIB, true, false);
    CHECK(gw_message_add(&message, pool, &item, &data, &length, &buf) == GW_MESSAGE_MORE);
    CHECK(gw_pool_held_bytes(pool) == 10 * KIB);
    item = piece_of(bytes, 2 * KIB, 4 * KIB, false, false);
    CHECK(gw_message_add(&message, pool, &item, &data, &length, &buf) == GW_MESSAGE_NOBUFS);
    gw_message_deinit(&message, pool);
    gw_buf_release(pool, taken);
    gw_pool_destroy(pool);
}

int main(void) {
    RUN(message__is_not_copied_when_whole);
    RUN(message__is_gathered_from_any_pieces);
    RUN(message__grows_by_size_class);
    RUN(message__takes_room_ahead_for_what_its_frame_announces);
    RUN(message__makes_do_with_less_ahead_when_the_pool_is_short);
    return 0;
}
