// permessage-deflate both ways. Inward, the input is what a peer calls compressed: fed in the pieces that the input names
// it gives the same as fed whole (but for a peer that breaks its window, who may be caught or not), never more than the
// limit, text that is UTF-8, and what zlib gives by itself. Outward, the input is a message: deflated and inflated again
// it is the same, also the second time, when both sides remember the first. Either way no buffer stays held.
//
// Input: the splits (fuzz.h), a byte of window and level, a byte of limit and opcode, the data.
#include <stdbool.h>
#define ZLIB_CONST
#include <zlib.h>

#include "fuzz.h"
#include "gw_deflate.h"
#include "gw_utf8.h"

enum { INPUT_MAX = 4096, LIMIT_MAX = 32768, OUT_MAX = 2 * INPUT_MAX };

struct inflated {
    enum gw_inflate_result result;
    uint32_t length;
    uint8_t bytes[LIMIT_MAX];
};

static struct gw_pool *pool;

// Feeds one message to the stream.
static void inflate_message(struct gw_deflate_stream *stream, struct fuzz_splits splits, uint8_t opcode,
                            const uint8_t *data, size_t length, uint32_t limit, struct inflated *out) {
    struct gw_buf *message = NULL;
    out->result = GW_INFLATE_MORE;
    out->length = 0;
    for (size_t at = 0; out->result == GW_INFLATE_MORE;) {
        const size_t size = fuzz_next_split(&splits, length - at);
        uint8_t *piece = fuzz_copy(data + at, size);
        const struct gw_ws_item item = { .data = piece, .length = size, .opcode = opcode, .first = at == 0,
                                         .last = at + size == length };
        out->result = gw_inflate(stream, &item, limit, &message);
        EXPECT(out->result != GW_INFLATE_MORE || !item.last);
        EXPECT(out->result != GW_INFLATE_WHOLE || (item.last && message != NULL));
        EXPECT(message == NULL || gw_buf_length(message) <= limit);
        free(piece);
        at += size;
    }
    EXPECT(out->result != GW_INFLATE_NOBUFS);
    if (out->result == GW_INFLATE_WHOLE) {
        out->length = gw_buf_length(message);
        memcpy(out->bytes, message->data + message->start, out->length);
        EXPECT(opcode != GW_WS_TEXT || gw_utf8_feed(GW_UTF8_START, out->bytes, out->length) == GW_UTF8_START);
    }
    if (message != NULL) {
        gw_buf_release(pool, message);
    }
}

static void inflate_once(struct fuzz_splits splits, uint8_t bits, uint8_t opcode, const uint8_t *data, size_t length,
                         uint32_t limit, struct inflated *out) {
    const uint64_t held = gw_pool_held_bytes(pool);
    struct gw_deflate_stream *stream = gw_inflater_create(pool, bits);
    EXPECT(stream != NULL);
    inflate_message(stream, splits, opcode, data, length, limit, out);
    gw_inflater_destroy(stream);
    EXPECT(gw_pool_held_bytes(pool) == held);
}

// What zlib makes of the data with the tail of RFC 7692 section 7.2.2 behind them; false: it does not get to their end,
// or a final block ends the stream before.
static bool inflate_plainly(uint8_t bits, const uint8_t *data, size_t length, struct inflated *out) {
    static const uint8_t tail[] = { 0, 0, 0xff, 0xff };
    // zlib has no raw inflate of 8 bits that takes what a wider one would: a wider one takes all of its.
    z_stream z = { .next_in = data, .avail_in = (uInt)length, .next_out = out->bytes, .avail_out = LIMIT_MAX };
    EXPECT(inflateInit2(&z, -(int)(bits < 9 ? 9 : bits)) == Z_OK);
    int status = length > 0 ? inflate(&z, Z_SYNC_FLUSH) : Z_OK;
    if ((status == Z_OK || status == Z_BUF_ERROR) && z.avail_in == 0) {
        z.next_in = tail;
        z.avail_in = sizeof tail;
        status = inflate(&z, Z_SYNC_FLUSH);
    }
    out->length = (uint32_t)z.total_out;
    const bool whole = status == Z_OK && z.avail_in == 0;
    inflateEnd(&z);
    return whole;
}

static void check_inward(struct fuzz_splits splits, uint8_t bits, uint8_t opcode, uint32_t limit, const uint8_t *data,
                         size_t length) {
    static struct inflated whole, split, plain;
    inflate_once((struct fuzz_splits){ 0 }, bits, opcode, data, length, limit, &whole);
    inflate_once(splits, bits, opcode, data, length, limit, &split);
    if ((whole.result == GW_INFLATE_WHOLE) != (split.result == GW_INFLATE_WHOLE)) {
        // Only a peer that refers back beyond the window it agreed to meets this: zlib finds that out where the window
        // is all it has kept, and not where the output of the same call still lies before it.
        const struct inflated *taken = whole.result == GW_INFLATE_WHOLE ? &whole : &split;
        const struct inflated *refused = taken == &whole ? &split : &whole;
        EXPECT(refused->result == GW_INFLATE_INVALID && taken->length > 1u << bits);
        EXPECT(bits < GW_DEFLATE_BITS_MAX);
        return;
    }
    if (whole.result == GW_INFLATE_WHOLE) {
        EXPECT(whole.length == split.length && memcmp(whole.bytes, split.bytes, whole.length) == 0);
        if (inflate_plainly(bits, data, length, &plain)) {
            EXPECT(whole.length == plain.length && memcmp(whole.bytes, plain.bytes, whole.length) == 0);
        }
    }
}

static void check_outward(struct fuzz_splits splits, uint8_t bits, uint8_t level, const uint8_t *data, size_t length) {
    static struct inflated back;
    static uint8_t out[OUT_MAX];
    struct gw_deflate_stream *deflater = gw_deflater_create(pool, bits, level), *inflater = gw_inflater_create(pool, bits);
    EXPECT(deflater != NULL && inflater != NULL);
    for (int round = 0; round < 2; round++) {
        const uint32_t bytes = gw_deflate(deflater, data, (uint32_t)length, out, OUT_MAX);
        EXPECT(bytes > 0 && bytes <= OUT_MAX);
        inflate_message(inflater, splits, GW_WS_BINARY, out, bytes, LIMIT_MAX, &back);
        EXPECT(back.result == GW_INFLATE_WHOLE && back.length == length && memcmp(back.bytes, data, length) == 0);
    }
    // Too little room is told, and a reset stream starts afresh.
    EXPECT(gw_deflate(deflater, data, (uint32_t)length, out, 1) <= 1);
    gw_deflater_reset(deflater);
    const uint32_t bytes = gw_deflate(deflater, data, (uint32_t)length, out, OUT_MAX);
    inflate_once(splits, bits, GW_WS_BINARY, out, bytes, LIMIT_MAX, &back);
    EXPECT(back.result == GW_INFLATE_WHOLE && back.length == length && memcmp(back.bytes, data, length) == 0);
    gw_deflater_destroy(deflater);
    gw_inflater_destroy(inflater);
    EXPECT(gw_pool_held_bytes(pool) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
    if (pool == NULL) {
        EXPECT(gw_pool_create(8 << 20, 1 << 17, &pool) == 0);
    }
    const struct fuzz_splits splits = fuzz_take_splits(&data, &length);
    if (length < 2 || length > INPUT_MAX) {
        return 0;
    }
    const uint8_t bits = 8 + data[0] % 8, level = 1 + data[0] / 8 % 9, opcode = data[1] % 2 ? GW_WS_TEXT : GW_WS_BINARY;
    const uint32_t limit = 1u << (data[1] / 2 % 16);
    data += 2;
    length -= 2;
    check_inward(splits, bits, opcode, limit, data, length);
    if (length > 0 && bits >= GW_DEFLATE_BITS_SEND_MIN) {
        check_outward(splits, bits, level, data, length);
    }
    return 0;
}
