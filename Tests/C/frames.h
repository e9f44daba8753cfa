// Builds client frames by hand and feeds them to a decoder in every way: whole, byte by byte, in random pieces,
// always from memory that ends at a guard page.
//
// What a feed produced is written down as a transcript (one line an event, payloads joined over their pieces),
// so that a test compares text, and every way of feeding must give the same one.
#ifndef FRAMES_H
#define FRAMES_H

#include <stdarg.h>

#include "gw_pool.h"
#include "gw_ws.h"
#include "test.h"

enum { WIRE_BYTES_MAX = 512 * 1024, TRANSCRIPT_BYTES_MAX = 64 * 1024 };

struct wire {
    uint8_t bytes[WIRE_BYTES_MAX];
    size_t length;
};

struct transcript {
    char text[TRANSCRIPT_BYTES_MAX];
    size_t length;
    uint8_t payload[WIRE_BYTES_MAX];    // of the message under way
    size_t payload_length;
    bool begun;
};

static const uint8_t frame_mask[4] = { 0x37, 0xFA, 0x21, 0x3D };

HELPER void wire_bytes(struct wire *wire, const void *bytes, size_t length) {
    CHECK(wire->length + length <= WIRE_BYTES_MAX);
    if (length > 0) {
        memcpy(wire->bytes + wire->length, bytes, length);
    }
    wire->length += length;
}

// The two first bytes as given, the length in the form that `form` names (0, 16 or 64 bits), mask and payload.
HELPER void wire_frame_raw(struct wire *wire, uint8_t first, unsigned form, uint64_t announced, const void *payload,
                           size_t length) {
    uint8_t header[14] = { first };
    size_t bytes = 2;
    if (form == 0) {
        header[1] = (uint8_t)(0x80 | announced);
    } else {
        header[1] = form == 16 ? 0x80 | 126 : 0x80 | 127;
        for (unsigned shift = form; shift > 0; shift -= 8) {
            header[bytes++] = (uint8_t)(announced >> (shift - 8));
        }
    }
    memcpy(header + bytes, frame_mask, 4);
    wire_bytes(wire, header, bytes + 4);
    wire_bytes(wire, payload, length);
    for (size_t index = 0; index < length; index++) {
        wire->bytes[wire->length - length + index] ^= frame_mask[index % 4];
    }
}

HELPER void wire_frame(struct wire *wire, uint8_t first, const void *payload, size_t length) {
    wire_frame_raw(wire, first, length < 126 ? 0 : length <= 0xFFFF ? 16 : 64, length, payload, length);
}

__attribute__((format(printf, 2, 3)))
HELPER void transcript_add(struct transcript *transcript, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    const size_t room = TRANSCRIPT_BYTES_MAX - transcript->length;
    const int length = vsnprintf(transcript->text + transcript->length, room, format, arguments);
    va_end(arguments);
    CHECK(length >= 0 && (size_t)length < room);
    transcript->length += (size_t)length;
}

// Short payloads as text, long ones as their length and a sum.
HELPER void transcript_payload(struct transcript *transcript, const uint8_t *data, size_t length) {
    uint32_t sum = 0;
    bool printable = length <= 64;
    for (size_t index = 0; index < length; index++) {
        sum = sum * 31 + data[index];
        printable = printable && data[index] >= ' ' && data[index] < 0x7F;
    }
    if (printable) {
        transcript_add(transcript, "'%.*s'\n", (int)length, (const char *)data);
    } else {
        transcript_add(transcript, "%zu bytes %08x\n", length, sum);
    }
}

HELPER void transcript_item(struct transcript *transcript, const struct gw_ws_item *item) {
    CHECK(item->opcode == GW_WS_TEXT || item->opcode == GW_WS_BINARY);
    CHECK(item->first == !transcript->begun);
    CHECK(transcript->payload_length + item->length <= WIRE_BYTES_MAX);
    if (item->length > 0) {
        memcpy(transcript->payload + transcript->payload_length, item->data, item->length);
    }
    transcript->payload_length += item->length;
    transcript->begun = !item->last;
    if (item->last) {
        CHECK(item->frame_left == 0);
        transcript_add(transcript, item->opcode == GW_WS_TEXT ? "text " : "binary ");
        transcript_payload(transcript, transcript->payload, transcript->payload_length);
        transcript->payload_length = 0;
    }
}

// Feeds one piece to its end. False: the decoder has failed.
HELPER bool frames_feed(struct gw_ws_decoder *decoder, const struct gw_ws_config *config, uint8_t *data,
                        size_t length, struct transcript *transcript) {
    for (;;) {
        struct gw_ws_item item;
        size_t consumed = SIZE_MAX;
        const enum gw_ws_result result = gw_ws_decode(decoder, config, data, length, &consumed, &item);
        CHECK(consumed <= length);
        switch (result) {
        case GW_WS_MORE:
            CHECK(consumed == length);
            return true;
        case GW_WS_DATA:
            CHECK(item.data >= data && item.data + item.length <= data + consumed);
            transcript_item(transcript, &item);
            break;
        case GW_WS_DEFLATED:
            CHECK(!"never agreed");
            break;
        case GW_WS_CONTROL:
            if (item.opcode == GW_WS_CLOSE) {
                transcript_add(transcript, "close %u ", item.close_code);
            } else {
                transcript_add(transcript, item.opcode == GW_WS_PING ? "ping " : "pong ");
            }
            transcript_payload(transcript, item.data, item.length);
            break;
        case GW_WS_ERROR:
            transcript_add(transcript, "error %u\n", item.close_code);
            // It takes nothing more and says the same again.
            item.close_code = 0;
            CHECK(gw_ws_decode(decoder, config, data, length, &consumed, &item) == GW_WS_ERROR && consumed == 0);
            CHECK(item.close_code == decoder->close_code);
            return false;
        }
        data += consumed;
        length -= consumed;
    }
}

enum { FEED_WHOLE, FEED_BYTES, FEED_RANDOM, FEED_WAYS = 6 };

// Way 0 is whole, 1 is byte by byte, each above it another random split.
HELPER void frames_run(const struct gw_ws_config *config, const struct wire *wire, unsigned way,
                       struct guarded memory, struct transcript *transcript) {
    struct gw_ws_decoder decoder;
    gw_ws_decoder_init(&decoder);
    transcript->length = transcript->payload_length = 0;
    transcript->text[0] = 0;
    transcript->begun = false;
    uint64_t seed = way + 1;
    bool going = true;
    for (size_t at = 0; going && at < wire->length;) {
        const size_t left = wire->length - at;
        size_t piece = way == FEED_WHOLE ? left : way == FEED_BYTES ? 1 : 1 + test_random(&seed) % (left / 2 + 1);
        if (way > FEED_RANDOM && piece > 40) {
            piece = 1 + piece % 40;
        }
        going = frames_feed(&decoder, config, guarded_copy(memory, wire->bytes + at, piece), piece, transcript);
        at += piece;
    }
    gw_ws_decoder_deinit(&decoder, config->pool);
    CHECK(gw_pool_held_bytes(config->pool) == 0);
}

// Feeds the wire in every way, and holds each transcript against the wanted one.
HELPER void frames_check(const char *name, const struct gw_ws_config *config, const struct wire *wire,
                         const char *wanted) {
    static struct transcript transcript;
    struct guarded memory = guarded_map(wire->length + 1);
    for (unsigned way = 0; way < FEED_WAYS; way++) {
        frames_run(config, wire, way, memory, &transcript);
        if (strcmp(transcript.text, wanted) != 0) {
            fprintf(stderr, "[%s] fed in way %u gives\n%swanted\n%s", name, way, transcript.text, wanted);
            abort();
        }
    }
    guarded_unmap(memory);
}

#endif
