// The codec alone, for the regression gate: decodes masked frames out of memory and encodes the answers' headers, with
// no socket anywhere. What is counted between runs of the same binary is exact, whatever else the machine does.
//
//   codec [--size BYTES] [--messages N]
//
// Prints the messages that codec_measured decoded and encoded: callgrind --toggle-collect counts that function.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "gw_pool.h"
#include "gw_ws.h"
#include "options.h"

enum { BATCH = 16 };

struct codec {
    struct gw_ws_config config;
    struct gw_ws_decoder decoder;
    size_t size;
    uint8_t *frames, *input;
    size_t frames_bytes;
    uint64_t checksum;     // of the headers written, so that writing them is not optimised away
};

// One batch: as many frames as a turn with 16 messages in flight finds in a receive buffer.
__attribute__((noinline)) static void codec_measured(struct codec *codec) {
    size_t at = 0;
    unsigned whole = 0;
    while (at < codec->frames_bytes) {
        struct gw_ws_item item;
        size_t consumed;
        const enum gw_ws_result result = gw_ws_decode(&codec->decoder, &codec->config, codec->input + at,
                                                      codec->frames_bytes - at, &consumed, &item);
        if (result != GW_WS_DATA || !item.first || !item.last || item.length != codec->size) {
            die("a frame was not decoded as it was written");
        }
        uint8_t header[GW_WS_SERVER_HEADER_BYTES_MAX];
        const size_t header_bytes = gw_ws_encode_header(header, (enum gw_ws_opcode)item.opcode, item.length);
        codec->checksum += header[header_bytes - 1];
        at += consumed;
        whole++;
    }
    if (whole != BATCH) {
        die("%u messages were decoded", whole);
    }
}

int main(int argc, char **argv) {
    struct codec codec = { .size = 16, .config = { .message_bytes_max = 1 << 24, .fragments_max = 64 } };
    uint64_t messages = 20000;
    const struct option_spec specs[] = {
        { "--size", OPTION_SIZE, &codec.size },
        { "--messages", OPTION_COUNT, &messages },
    };
    options_parse(argc, argv, specs, sizeof specs / sizeof *specs);
    if (codec.size == 0 || codec.size > codec.config.message_bytes_max) {
        die("--size is out of its range");
    }
    uint8_t *payload = malloc(codec.size);
    codec.frames = malloc(BATCH * (codec.size + WS_HEADER_BYTES_MAX));
    codec.input = malloc(BATCH * (codec.size + WS_HEADER_BYTES_MAX));
    if (payload == NULL || codec.frames == NULL || codec.input == NULL) {
        die("out of memory");
    }
    memset(payload, 'a', codec.size);
    for (unsigned i = 0; i < BATCH; i++) {
        codec.frames_bytes += ws_frame(codec.frames + codec.frames_bytes, WS_BINARY, payload, codec.size);
    }
    gw_ws_decoder_init(&codec.decoder);
    const uint64_t batches = messages / BATCH;
    for (uint64_t i = 0; i < batches; i++) {
        // The decoder unmasks in place.
        memcpy(codec.input, codec.frames, codec.frames_bytes);
        codec_measured(&codec);
    }
    printf("messages %llu checksum %llu\n", (unsigned long long)(batches * BATCH), (unsigned long long)codec.checksum);
    free(payload);
    free(codec.frames);
    free(codec.input);
    return 0;
}
