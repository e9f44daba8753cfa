// The frame decoder and the joiner behind it: a stream fed in the pieces that the input names gives the same
// messages, control frames and end as the same stream fed whole, keeps to its limits, and leaves no buffer held.
//
// Input: the splits (fuzz.h), a byte for the limits, the stream.
#include <stdbool.h>

#include "fuzz.h"
#include "gw_message.h"

enum { STREAM_BYTES_MAX = 4096, LOG_BYTES_MAX = 4 * STREAM_BYTES_MAX };

// What came out, as bytes that can be compared: an event's kind, opcode, close code and length, then its payload.
struct log {
    uint8_t bytes[LOG_BYTES_MAX];
    size_t length;
};

static void log_event(struct log *log, enum gw_ws_result kind, uint8_t opcode, uint16_t close_code,
                      const uint8_t *payload, uint64_t length) {
    const uint32_t head[] = { (uint32_t)kind << 8 | opcode, close_code << 16 | (uint32_t)length };
    EXPECT(sizeof head + length <= LOG_BYTES_MAX - log->length);
    memcpy(log->bytes + log->length, head, sizeof head);
    log->length += sizeof head;
    if (length > 0) {
        memcpy(log->bytes + log->length, payload, length);
    }
    log->length += length;
}

static void join(const struct gw_ws_config *config, struct gw_message *message, const struct gw_ws_item *item,
                 struct log *log) {
    uint8_t *data;
    uint64_t length;
    struct gw_buf *buf;
    EXPECT(item->opcode == GW_WS_TEXT || item->opcode == GW_WS_BINARY);
    switch (gw_message_add(message, config->pool, item, &data, &length, &buf)) {
    case GW_MESSAGE_MORE:
        EXPECT(!item->last);
        break;
    case GW_MESSAGE_WHOLE:
        EXPECT(item->last && item->frame_left == 0 && length <= config->message_bytes_max);
        log_event(log, GW_WS_DATA, item->opcode, 0, data, length);
        if (buf != NULL) {
            gw_buf_release(config->pool, buf);
        }
        break;
    case GW_MESSAGE_NOBUFS:
        EXPECT(!"the pool holds more than the stream");
    }
}

// Feeds one piece to its end. False: the decoder has failed.
static bool feed(const struct gw_ws_config *config, struct gw_ws_decoder *decoder, struct gw_message *message,
                 uint8_t *data, size_t length, struct log *log) {
    for (;;) {
        struct gw_ws_item item;
        size_t consumed = SIZE_MAX;
        const enum gw_ws_result result = gw_ws_decode(decoder, config, data, length, &consumed, &item);
        if (result == GW_WS_ERROR) {
            EXPECT(item.close_code == 1002 || item.close_code == 1007 || item.close_code == 1009);
            log_event(log, GW_WS_ERROR, 0, item.close_code, NULL, 0);
            return false;
        }
        EXPECT(consumed <= length);
        if (result == GW_WS_MORE) {
            EXPECT(consumed == length);
            return true;
        }
        if (result == GW_WS_DATA) {
            EXPECT(item.data >= data && item.data + item.length <= data + consumed);
            join(config, message, &item, log);
        } else {
            EXPECT(item.length <= GW_WS_CONTROL_BYTES_MAX);
            const uint16_t close_code = item.opcode == GW_WS_CLOSE ? item.close_code : 0;
            log_event(log, GW_WS_CONTROL, item.opcode, close_code, item.data, item.length);
        }
        data += consumed;
        length -= consumed;
    }
}

static void run(const struct gw_ws_config *config, struct fuzz_splits splits, const uint8_t *stream, size_t length,
                struct log *log) {
    struct gw_ws_decoder decoder;
    struct gw_message message = { 0 };
    gw_ws_decoder_init(&decoder);
    log->length = 0;
    bool going = true;
    for (size_t at = 0; going && at < length;) {
        const size_t size = fuzz_next_split(&splits, length - at);
        uint8_t *piece = fuzz_copy(stream + at, size);
        going = feed(config, &decoder, &message, piece, size, log);
        free(piece);
        at += size;
    }
    gw_message_deinit(&message, config->pool);
    gw_ws_decoder_deinit(&decoder, config->pool);
    EXPECT(gw_pool_held_bytes(config->pool) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
    static struct gw_pool *pool;
    static struct log whole, split;
    if (pool == NULL) {
        EXPECT(gw_pool_create(1 << 20, STREAM_BYTES_MAX, &pool) == 0);
    }
    const struct fuzz_splits splits = fuzz_take_splits(&data, &length);
    if (length == 0 || length > STREAM_BYTES_MAX) {
        return 0;
    }
    const struct gw_ws_config config = {
        .message_bytes_max = 1u << (data[0] % 13), .fragments_max = data[0] / 16, .pool = pool,
    };
    run(&config, (struct fuzz_splits){ 0 }, data + 1, length - 1, &whole);
    run(&config, splits, data + 1, length - 1, &split);
    EXPECT(whole.length == split.length && memcmp(whole.bytes, split.bytes, whole.length) == 0);
    return 0;
}
