// Deflate streams: bad data and bombs first, then that what was deflated inflates again, whole, byte by byte and in
// random pieces, always from memory that ends at a guard page; and that every stream gives back all its memory.
#include "gw_deflate.h"
#include "test.h"

#include <zlib.h>

enum { KIB = 1024, MIB = 1024 * KIB, MESSAGE_BYTES_MAX = 64 * KIB };

static struct guarded memory;

static struct gw_pool *pool_of(uint64_t bytes_max, uint32_t buffer_bytes_max) {
    struct gw_pool *pool = NULL;
    CHECK(gw_pool_create(bytes_max, buffer_bytes_max, &pool) == 0);
    return pool;
}

// The peer's side, by zlib's own hand: bits of window, flush of the last block. Returns the bytes.
static size_t peer_deflate(const void *data, size_t length, int bits, int flush, uint8_t *out, size_t room) {
    z_stream z = { .next_in = (void *)(uintptr_t)data, .avail_in = (unsigned)length, .next_out = out,
                   .avail_out = (unsigned)room };
    CHECK(deflateInit2(&z, 9, Z_DEFLATED, -bits, 8, Z_DEFAULT_STRATEGY) == Z_OK);
    const int result = deflate(&z, flush);
    CHECK((result == Z_OK || result == Z_STREAM_END) && z.avail_in == 0 && z.avail_out > 0);
    const size_t bytes = room - z.avail_out;
    deflateEnd(&z);
    return flush == Z_FINISH ? bytes : bytes - 4;
}

// Feeds a message in pieces of `step` bytes (0: whole); the buffer is the caller's.
static enum gw_inflate_result feed(struct gw_deflate_stream *stream, uint8_t opcode, const uint8_t *data, size_t length,
                                   size_t step, uint64_t bytes_max, struct gw_buf **message) {
    enum gw_inflate_result result = GW_INFLATE_MORE;
    for (size_t at = 0; result == GW_INFLATE_MORE; ) {
        const size_t size = step == 0 || step > length - at ? length - at : step;
        uint8_t *piece = guarded_copy(memory, data + at, size);
        const struct gw_ws_item item = { .data = piece, .length = size, .opcode = opcode, .first = at == 0,
                                         .last = at + size == length };
        result = gw_inflate(stream, &item, bytes_max, message);
        at += size;
        CHECK(result != GW_INFLATE_MORE || !item.last);
        CHECK(*message == NULL || (*message)->end <= bytes_max);
    }
    return result;
}

// The same on a stream of its own, in every way of feeding, which must agree.
static enum gw_inflate_result inflate_once(uint8_t opcode, const void *data, size_t length) {
    struct gw_pool *pool = pool_of(MIB, MESSAGE_BYTES_MAX);
    static const size_t steps[] = { 0, 1, 2, 7 };
    enum gw_inflate_result first = GW_INFLATE_MORE;
    for (size_t index = 0; index < sizeof steps / sizeof steps[0]; index++) {
        struct gw_deflate_stream *stream = gw_inflater_create(pool, 15);
        struct gw_buf *message = NULL;
        const enum gw_inflate_result result =
            feed(stream, opcode, data, length, steps[index], MESSAGE_BYTES_MAX, &message);
        CHECK(index == 0 || result == first);
        first = result;
        if (message != NULL) {
            gw_buf_release(pool, message);
        }
        gw_inflater_destroy(stream);
        CHECK(gw_pool_held_bytes(pool) == 0);
    }
    gw_pool_destroy(pool);
    return first;
}

static void inflate__refuses_what_is_no_deflate_data(void) {
    CHECK(inflate_once(GW_WS_BINARY, "\xFF\xFF\xFF\xFF", 4) == GW_INFLATE_INVALID);        // no such block
    CHECK(inflate_once(GW_WS_BINARY, "\x00\x05\x00\x00\x00hello", 10) == GW_INFLATE_INVALID);   // LEN and NLEN differ
    CHECK(inflate_once(GW_WS_BINARY, "\x02\x00\x00", 3) == GW_INFLATE_INVALID);     // reaches before the start
    uint8_t garbage[200];
    uint64_t seed = 99;
    int refused = 0;
    for (int round = 0; round < 500; round++) {
        for (size_t index = 0; index < sizeof garbage; index++) {
            garbage[index] = (uint8_t)test_random(&seed);
        }
        refused += inflate_once(GW_WS_BINARY, garbage, sizeof garbage) == GW_INFLATE_INVALID;
    }
    CHECK(refused > 450);
}

// Every beginning of a message but those that end at a block is refused, however it is flushed.
static void inflate__refuses_a_message_that_is_cut_off(void) {
    static const char text[] = "a message that is cut off, a message that is cut off, and once more, cut off";
    uint8_t whole[256];
    const size_t length = peer_deflate(text, sizeof text - 1, 15, Z_SYNC_FLUSH, whole, sizeof whole);
    CHECK(inflate_once(GW_WS_TEXT, whole, length) == GW_INFLATE_WHOLE);
    for (size_t cut = 0; cut < length; cut++) {
        CHECK(inflate_once(GW_WS_TEXT, whole, cut) == GW_INFLATE_INVALID);
    }
}

static void inflate__checks_text_as_it_comes_out(void) {
    uint8_t data[256];
    const struct { const char *text; size_t length; enum gw_inflate_result text_result; } rows[] = {
        { "caf\xC3\xA9", 5, GW_INFLATE_WHOLE },
        { "caf\xC3", 4, GW_INFLATE_INVALID },
        { "\xED\xA0\x80", 3, GW_INFLATE_INVALID },
        { "\xFF and more", 10, GW_INFLATE_INVALID },
    };
    for (size_t index = 0; index < sizeof rows / sizeof rows[0]; index++) {
        const size_t length = peer_deflate(rows[index].text, rows[index].length, 15, Z_SYNC_FLUSH, data, sizeof data);
        CHECK(inflate_once(GW_WS_TEXT, data, length) == rows[index].text_result);
        CHECK(inflate_once(GW_WS_BINARY, data, length) == GW_INFLATE_WHOLE);
    }
}

// 1000:1 and beyond: the limit holds to the byte, and so does what is held of the pool meanwhile.
static void inflate__stops_a_bomb_at_the_limit(void) {
    static uint8_t zeros[16 * MIB], bomb[64 * KIB];
    const size_t length = peer_deflate(zeros, sizeof zeros, 15, Z_SYNC_FLUSH, bomb, sizeof bomb);
    CHECK(sizeof zeros / length > 950);
    struct gw_pool *pool = pool_of(64 * MIB, MIB);
    for (size_t step = 0; step < 2; step++) {
        struct gw_deflate_stream *stream = gw_inflater_create(pool, 15);
        struct gw_buf *message = NULL;
        CHECK(feed(stream, GW_WS_BINARY, bomb, length, step, MIB, &message) == GW_INFLATE_TOO_BIG);
        CHECK(message->end == MIB);
        CHECK(gw_pool_held_bytes(pool) <= gw_inflater_bytes(15) + gw_buf_class_bytes(MIB));
        gw_buf_release(pool, message);
        gw_inflater_destroy(stream);
    }
    gw_pool_destroy(pool);
}

static void inflate__takes_a_message_of_exactly_the_limit(void) {
    static uint8_t bytes[3000], data[4000];
    struct gw_pool *pool = pool_of(MIB, 32 * KIB);
    const size_t length = peer_deflate(bytes, sizeof bytes, 15, Z_SYNC_FLUSH, data, sizeof data);
    for (uint64_t limit = sizeof bytes - 1; limit <= sizeof bytes + 1; limit++) {
        struct gw_deflate_stream *stream = gw_inflater_create(pool, 15);
        struct gw_buf *message = NULL;
        const enum gw_inflate_result result = feed(stream, GW_WS_BINARY, data, length, 0, limit, &message);
        CHECK(result == (limit < sizeof bytes ? GW_INFLATE_TOO_BIG : GW_INFLATE_WHOLE));
        gw_buf_release(pool, message);
        gw_inflater_destroy(stream);
    }
    gw_pool_destroy(pool);
}

// RFC 7692 sections 7.2.3.1 to 7.2.3.6, to the byte: the context is kept where it is taken over.
static void inflate__reads_the_examples_of_the_rfc(void) {
    struct gw_pool *pool = pool_of(MIB, 32 * KIB);
    struct gw_deflate_stream *stream = gw_inflater_create(pool, 15);
    static const struct { const char *data; size_t length; const char *text; } rows[] = {
        { "\xF2\x48\xCD\xC9\xC9\x07\x00", 7, "Hello" },
        { "\xF2\x00\x11\x00\x00", 5, "Hello" },                                  // refers to the message before
        { "\x00\x05\x00\xFA\xFF\x48\x65\x6C\x6C\x6F\x00", 11, "Hello" },         // not compressed
        { "\xF3\x48\xCD\xC9\xC9\x07\x00\x00", 8, "Hello" },                      // a block marked as the last
        { "\xF2\x00\x11\x00\x00", 5, "Hello" },                                  // refers to the one behind that mark
        { "\xF2\x48\x05\x00\x00\x00\xFF\xFF\xCA\xC9\xC9\x07\x00", 13, "Hello" }, // two blocks
        { "\x00", 1, "" },
    };
    for (size_t index = 0; index < sizeof rows / sizeof rows[0]; index++) {
        for (size_t step = 0; step < 2; step++) {
            struct gw_buf *message = NULL;
            CHECK(feed(stream, GW_WS_TEXT, (const uint8_t *)rows[index].data, rows[index].length, step, KIB, &message)
                  == GW_INFLATE_WHOLE);
            CHECK_ROW(rows[index].text, message->end == strlen(rows[index].text));
            CHECK_ROW(rows[index].text, memcmp(message->data, rows[index].text, message->end) == 0);
            gw_buf_release(pool, message);
        }
    }
    gw_inflater_destroy(stream);
    CHECK(gw_pool_held_bytes(pool) == 0);
    gw_pool_destroy(pool);
}

static void fill(uint8_t *bytes, size_t length, uint64_t *seed) {
    const uint64_t letters = 1 + test_random(seed) % 256;
    for (size_t index = 0; index < length; index++) {
        bytes[index] = (uint8_t)(test_random(seed) % letters);
    }
}

// Our deflater against our inflater, over one context, at every window.
static void deflate__inflates_again(void) {
    static uint8_t bytes[MESSAGE_BYTES_MAX], out[2 * MESSAGE_BYTES_MAX];
    uint64_t seed = 7;
    for (uint8_t bits = GW_DEFLATE_BITS_SEND_MIN; bits <= GW_DEFLATE_BITS_MAX; bits++) {
        struct gw_pool *pool = pool_of(4 * MIB, 128 * KIB);
        struct gw_deflate_stream *deflater = gw_deflater_create(pool, bits, 1 + bits % 9);
        CHECK(gw_pool_held_bytes(pool) == gw_deflater_bytes(bits));
        struct gw_deflate_stream *inflater = gw_inflater_create(pool, bits);
        for (int round = 0; round < 60; round++) {
            const size_t length = 1 + (test_random(&seed) % MESSAGE_BYTES_MAX >> test_random(&seed) % 12);
            fill(bytes, length, &seed);
            const uint32_t deflated = gw_deflate(deflater, guarded_copy(memory, bytes, length), (uint32_t)length, out,
                                                 sizeof out);
            CHECK(deflated > 0);
            struct gw_buf *message = NULL;
            const size_t step = round % 3 == 0 ? 0 : 1 + test_random(&seed) % 5000;
            CHECK(feed(inflater, GW_WS_BINARY, out, deflated, step, MESSAGE_BYTES_MAX, &message) == GW_INFLATE_WHOLE);
            CHECK(message->end == length && memcmp(message->data, bytes, length) == 0);
            gw_buf_release(pool, message);
        }
        CHECK(gw_pool_held_bytes(pool) <= gw_deflater_bytes(bits) + gw_inflater_bytes(bits));
        gw_deflater_destroy(deflater);
        gw_inflater_destroy(inflater);
        CHECK(gw_pool_held_bytes(pool) == 0);
        gw_pool_destroy(pool);
    }
}

// What does not fit is not sent, and after a reset the next message refers to nothing of it.
static void deflate__says_when_it_does_not_fit(void) {
    uint8_t noise[2000], out[2000];
    uint64_t seed = 3;
    struct gw_pool *pool = pool_of(MIB, 32 * KIB);
    struct gw_deflate_stream *deflater = gw_deflater_create(pool, 12, 1);
    for (size_t index = 0; index < sizeof noise; index++) {
        noise[index] = (uint8_t)test_random(&seed);
    }
    struct guarded end = guarded_map(4096);
    CHECK(gw_deflate(deflater, noise, sizeof noise, end.end - sizeof noise, sizeof noise) == 0);
    gw_deflater_reset(deflater);
    memset(noise + 100, 'x', 1900);
    const uint32_t deflated = gw_deflate(deflater, noise, sizeof noise, out, sizeof out);
    CHECK(deflated > 0 && deflated < 200);
    struct gw_deflate_stream *inflater = gw_inflater_create(pool, 12);
    struct gw_buf *message = NULL;
    CHECK(feed(inflater, GW_WS_BINARY, out, deflated, 0, 2000, &message) == GW_INFLATE_WHOLE);
    CHECK(message->end == sizeof noise && memcmp(message->data, noise, sizeof noise) == 0);
    gw_buf_release(pool, message);
    gw_inflater_destroy(inflater);
    gw_deflater_destroy(deflater);
    guarded_unmap(end);
    gw_pool_destroy(pool);
}

// With every size of pool from none to enough: a stream comes whole or not at all, and nothing is lost.
static void stream__is_whole_or_null_on_a_small_pool(void) {
    static const uint8_t hello[] = { 0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00 };
    int inflaters = 0, deflaters = 0, starved = 0;
    for (uint64_t bytes = 512; bytes <= 128 * KIB; bytes += 512) {
        struct gw_pool *pool = pool_of(bytes, 32 * KIB);
        struct gw_deflate_stream *deflater = gw_deflater_create(pool, 12, 1);
        if (deflater != NULL) {
            deflaters++;
            gw_deflater_destroy(deflater);
        }
        CHECK(gw_pool_held_bytes(pool) == 0);
        struct gw_deflate_stream *inflater = gw_inflater_create(pool, 15);
        if (inflater != NULL) {
            struct gw_buf *message = NULL;
            const enum gw_inflate_result result =
                feed(inflater, GW_WS_TEXT, hello, sizeof hello, 0, KIB, &message);
            CHECK(result == GW_INFLATE_WHOLE || result == GW_INFLATE_NOBUFS);
            starved += result == GW_INFLATE_NOBUFS;
            inflaters += result == GW_INFLATE_WHOLE;
            if (message != NULL) {
                gw_buf_release(pool, message);
            }
            gw_inflater_destroy(inflater);
        }
        CHECK(gw_pool_held_bytes(pool) == 0);
        gw_pool_destroy(pool);
    }
    CHECK(inflaters > 0 && deflaters > 0 && starved > 0);
}

// The decoder's part: RSV1 is for the first frame of a message, where it was agreed.
static void decode__allows_rsv1_on_a_first_frame_only(void) {
    static const struct { const char *name; bool agreed; const char *frames; size_t length; int code; } rows[] = {
        { "not agreed", false, "\xC1\x80\0\0\0\0", 6, 1002 },
        { "agreed", true, "\xC1\x80\0\0\0\0", 6, 0 },
        { "binary", true, "\xC2\x80\0\0\0\0", 6, 0 },
        { "RSV2", true, "\xA1\x80\0\0\0\0", 6, 1002 },
        { "RSV3", true, "\x91\x80\0\0\0\0", 6, 1002 },
        { "RSV1 and RSV2", true, "\xE1\x80\0\0\0\0", 6, 1002 },
        { "a continuation", true, "\x41\x81\0\0\0\0a\xC0\x80\0\0\0\0", 13, 1002 },
        { "a continuation of what is not compressed", true, "\x01\x81\0\0\0\0a\xC0\x80\0\0\0\0", 13, 1002 },
        { "a plain continuation", true, "\x41\x81\0\0\0\0a\x80\x80\0\0\0\0", 13, 0 },
        { "a ping", true, "\xC9\x80\0\0\0\0", 6, 1002 },
        { "a close", true, "\xC8\x80\0\0\0\0", 6, 1002 },
        { "a message after one that is compressed", true, "\xC1\x80\0\0\0\0\x81\x81\0\0\0\0\xFF", 13, 1007 },
        { "UTF-8 is not looked for", true, "\xC1\x81\0\0\0\0\xFF", 7, 0 },
    };
    struct gw_pool *pool = pool_of(4 * KIB, 512);
    const struct gw_ws_config config = { .message_bytes_max = KIB, .fragments_max = 10, .pool = pool };
    for (size_t index = 0; index < sizeof rows / sizeof rows[0]; index++) {
        for (size_t step = 1; step <= rows[index].length; step++) {
            struct gw_ws_decoder decoder;
            gw_ws_decoder_init(&decoder);
            decoder.deflate = rows[index].agreed;
            int code = 0;
            for (size_t at = 0; at < rows[index].length && code == 0;) {
                const size_t size = step < rows[index].length - at ? step : rows[index].length - at;
                uint8_t *piece = guarded_copy(memory, rows[index].frames + at, size);
                for (size_t used = 0; used < size && code == 0;) {
                    struct gw_ws_item item;
                    size_t consumed;
                    if (gw_ws_decode(&decoder, &config, piece + used, size - used, &consumed, &item) == GW_WS_ERROR) {
                        code = item.close_code;
                    }
                    used += consumed;
                }
                at += size;
            }
            CHECK_ROW(rows[index].name, code == rows[index].code);
            gw_ws_decoder_deinit(&decoder, pool);
        }
    }
    gw_pool_destroy(pool);
}

int main(void) {
    memory = guarded_map(MESSAGE_BYTES_MAX);
    RUN(inflate__refuses_what_is_no_deflate_data);
    RUN(inflate__refuses_a_message_that_is_cut_off);
    RUN(inflate__checks_text_as_it_comes_out);
    RUN(inflate__stops_a_bomb_at_the_limit);
    RUN(inflate__takes_a_message_of_exactly_the_limit);
    RUN(inflate__reads_the_examples_of_the_rfc);
    RUN(deflate__inflates_again);
    RUN(deflate__says_when_it_does_not_fit);
    RUN(stream__is_whole_or_null_on_a_small_pool);
    RUN(decode__allows_rsv1_on_a_first_frame_only);
    guarded_unmap(memory);
    return 0;
}
