// The frame layer; see the header for its contract.
//
// A decoder is in one of four phases. A data frame that lies whole in the input between two messages, as nearly
// all do, never leaves HEADER: gw_ws_decode hands it out in one step. Everything else goes byte by byte through
// the header, then piece by piece through the payload (take_piece).
//
// Owner: one connection; thread: its.
#include "gw_ws.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "gw_mask.h"
#include "gw_pool.h"
#include "gw_utf8.h"
#include "gw_ws_short.h"

enum phase { PHASE_HEADER, PHASE_DATA, PHASE_CONTROL, PHASE_FAILED };

enum {
    FIN = 0x80, RSV = 0x70, RSV1 = 0x40, OPCODE = 0x0F, IS_CONTROL = 0x08,
    MASKED = 0x80, LENGTH = 0x7F, LENGTH_16 = 126, LENGTH_64 = 127,
    MASK_BYTES = 4,
};

static_assert(sizeof(struct gw_ws_decoder) <= 56, "an idle connection keeps one");

void gw_ws_decoder_init(struct gw_ws_decoder *decoder) {
    *decoder = (struct gw_ws_decoder){ .phase = PHASE_HEADER, .utf8 = GW_UTF8_START };
}

void gw_ws_decoder_deinit(struct gw_ws_decoder *decoder, struct gw_pool *pool) {
    if (decoder->control != NULL) {
        gw_buf_release(pool, decoder->control);
        decoder->control = NULL;
    }
}

static void fail(struct gw_ws_decoder *decoder, uint16_t close_code) {
    decoder->phase = PHASE_FAILED;
    decoder->close_code = close_code;
}

static inline uint64_t load_big_endian(const uint8_t *data, size_t bytes) {
    uint64_t value = 0;
    for (size_t index = 0; index < bytes; index++) {
        value = value << 8 | data[index];
    }
    return value;
}

static inline uint32_t load_mask(const uint8_t *data) {
    uint32_t mask;
    memcpy(&mask, data, sizeof mask);
    return mask;
}

static size_t header_bytes(uint8_t second) {
    const uint8_t form = second & LENGTH;
    return 2 + MASK_BYTES + (form == LENGTH_64 ? 8 : form == LENGTH_16 ? 2 : 0);
}

// What the first two bytes of a header alone may say wrong.
static bool is_start_allowed(const struct gw_ws_decoder *decoder) {
    const uint8_t first = decoder->header[0], second = decoder->header[1];
    const uint8_t opcode = first & OPCODE;
    const bool may_deflate = decoder->deflate && (opcode == GW_WS_TEXT || opcode == GW_WS_BINARY);
    if ((first & (may_deflate ? RSV & ~RSV1 : RSV)) != 0 || (second & MASKED) == 0) {
        return false;
    }
    switch (opcode) {
    case GW_WS_CONTINUATION: return decoder->message_opcode != 0;
    case GW_WS_TEXT:
    case GW_WS_BINARY: return decoder->message_opcode == 0;
    case GW_WS_CLOSE:
    case GW_WS_PING:
    case GW_WS_PONG: return (first & FIN) != 0 && (second & LENGTH) <= GW_WS_CONTROL_BYTES_MAX;
    default: return false;
    }
}

// What cannot be compressed grows by a few bytes a block; the limit itself is checked on what was inflated.
static uint64_t bytes_max(const struct gw_ws_decoder *decoder, const struct gw_ws_config *config) {
    const uint64_t limit = config->message_bytes_max;
    return decoder->compressed ? limit + limit / 8 + 64 : limit;
}

static void begin_data(struct gw_ws_decoder *decoder, const struct gw_ws_config *config, uint8_t opcode) {
    if (opcode != GW_WS_CONTINUATION) {
        decoder->message_opcode = opcode;
        decoder->message_begun = false;
        decoder->message_bytes = 0;
        decoder->compressed = (decoder->header[0] & RSV1) != 0;
        decoder->fragments = 1;
        decoder->utf8 = GW_UTF8_START;
    } else if (decoder->fragments++ >= config->fragments_max) {
        fail(decoder, GW_CLOSE_TOO_BIG);
        return;
    }
    if (decoder->frame_left > bytes_max(decoder, config) - decoder->message_bytes) {
        fail(decoder, GW_CLOSE_TOO_BIG);
        return;
    }
    decoder->message_bytes += decoder->frame_left;
    decoder->phase = PHASE_DATA;
}

// The header is whole: decides what its payload is.
static void begin_frame(struct gw_ws_decoder *decoder, const struct gw_ws_config *config) {
    const uint8_t *header = decoder->header;
    const size_t length_bytes = decoder->header_length - 2u - MASK_BYTES;
    const uint64_t length = length_bytes == 0 ? header[1] & LENGTH : load_big_endian(header + 2, length_bytes);
    if ((length_bytes == 2 && length < LENGTH_16) || (length_bytes == 8 && (length <= 0xFFFF || length >> 63 != 0))) {
        fail(decoder, GW_CLOSE_PROTOCOL);
        return;
    }
    decoder->frame_left = length;
    decoder->mask = load_mask(header + 2 + length_bytes);
    decoder->mask_offset = 0;
    decoder->header_length = 0;
    if ((header[0] & IS_CONTROL) != 0) {
        decoder->phase = PHASE_CONTROL;
    } else {
        begin_data(decoder, config, header[0] & OPCODE);
    }
}

// Gathers a header until it is whole or wrong. Returns the bytes taken.
static size_t take_header(struct gw_ws_decoder *decoder, const struct gw_ws_config *config, const uint8_t *data,
                          size_t length) {
    size_t used = 0;
    while (used < length && decoder->phase == PHASE_HEADER) {
        decoder->header[decoder->header_length++] = data[used++];
        if (decoder->header_length == 2 && !is_start_allowed(decoder)) {
            fail(decoder, GW_CLOSE_PROTOCOL);
        } else if (decoder->header_length > 2 && decoder->header_length == header_bytes(decoder->header[1])) {
            begin_frame(decoder, config);
        }
    }
    return used;
}

// Hands out what has arrived of a data frame. MORE: nothing has, or the frame was empty and not the last.
static enum gw_ws_result take_data(struct gw_ws_decoder *decoder, uint8_t *data, size_t length, size_t *used,
                                   struct gw_ws_item *item) {
    if (length == 0 && decoder->frame_left > 0) {
        return GW_WS_MORE;
    }
    const size_t piece = decoder->frame_left < length ? (size_t)decoder->frame_left : length;
    const bool ascii = gw_mask_apply(data, piece, decoder->mask, decoder->mask_offset);
    *used += piece;
    decoder->mask_offset = (uint8_t)((decoder->mask_offset + piece) % MASK_BYTES);
    decoder->frame_left -= piece;
    const bool last = decoder->frame_left == 0 && (decoder->header[0] & FIN) != 0;
    if (decoder->message_opcode == GW_WS_TEXT && !decoder->compressed) {
        if (!ascii || decoder->utf8 != GW_UTF8_START) {
            decoder->utf8 = (uint8_t)gw_utf8_feed(decoder->utf8, data, piece);
        }
        if (decoder->utf8 == GW_UTF8_INVALID || (last && decoder->utf8 != GW_UTF8_START)) {
            fail(decoder, GW_CLOSE_DATA);
            return GW_WS_MORE;
        }
    }
    if (decoder->frame_left == 0) {
        decoder->phase = PHASE_HEADER;
    }
    if (piece == 0 && !last) {
        return GW_WS_MORE;
    }
    item->data = data;
    item->length = piece;
    item->frame_left = decoder->frame_left;
    item->opcode = decoder->message_opcode;
    item->first = !decoder->message_begun;
    item->last = last;
    decoder->message_begun = true;
    if (last) {
        decoder->message_opcode = 0;
    }
    return decoder->compressed ? GW_WS_DEFLATED : GW_WS_DATA;
}

// RFC 6455 section 7.4, and the codes registered with IANA since (1012 to 1014).
static bool may_close_with(uint16_t code) {
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);
}

// Takes the code off the front of a close frame's payload; what stays is the reason.
static enum gw_ws_result finish_close(struct gw_ws_decoder *decoder, struct gw_ws_item *item) {
    if (item->length == 0) {
        item->close_code = GW_CLOSE_NO_CODE;
        return GW_WS_CONTROL;
    }
    const uint16_t code = item->length < 2 ? 0 : (uint16_t)load_big_endian(item->data, 2);
    if (!may_close_with(code)) {
        fail(decoder, GW_CLOSE_PROTOCOL);
        return GW_WS_MORE;
    }
    item->close_code = code;
    item->data += 2;
    item->length -= 2;
    if (gw_utf8_feed(GW_UTF8_START, item->data, item->length) != GW_UTF8_START) {
        fail(decoder, GW_CLOSE_DATA);
        return GW_WS_MORE;
    }
    return GW_WS_CONTROL;
}

// Adds to the gathered payload of a control frame. True: it is whole, and lies in the item.
static bool gather_control(struct gw_ws_decoder *decoder, const struct gw_ws_config *config, const uint8_t *data,
                           size_t piece, struct gw_ws_item *item) {
    if (decoder->control == NULL) {
        decoder->control = gw_buf_acquire(config->pool, GW_WS_CONTROL_BYTES_MAX);
        if (decoder->control == NULL) {
            fail(decoder, GW_CLOSE_TRY_AGAIN);
            return false;
        }
    }
    struct gw_buf *control = decoder->control;
    memcpy(control->data + control->end, data, piece);
    control->end += (uint32_t)piece;
    decoder->frame_left -= piece;
    if (decoder->frame_left > 0) {
        return false;
    }
    item->data = item->control;
    item->length = control->end;
    memcpy(item->control, control->data, control->end);
    gw_ws_decoder_deinit(decoder, config->pool);
    return true;
}

static enum gw_ws_result take_control(struct gw_ws_decoder *decoder, const struct gw_ws_config *config, uint8_t *data,
                                      size_t length, size_t *used, struct gw_ws_item *item) {
    const size_t piece = decoder->frame_left < length ? (size_t)decoder->frame_left : length;
    *used += piece;
    if (decoder->control == NULL && piece == decoder->frame_left) {
        item->data = data;
        item->length = piece;
    } else if (piece == 0 || !gather_control(decoder, config, data, piece, item)) {
        return GW_WS_MORE;
    }
    gw_mask_apply(item->data, item->length, decoder->mask, 0);
    decoder->phase = PHASE_HEADER;
    item->opcode = decoder->header[0] & OPCODE;
    return item->opcode == GW_WS_CLOSE ? finish_close(decoder, item) : GW_WS_CONTROL;
}

// Anything but a whole frame between two messages. Out of line, so that the short way stays short.
__attribute__((noinline))
static enum gw_ws_result take_piece(struct gw_ws_decoder *decoder, const struct gw_ws_config *config, uint8_t *data,
                                    size_t length, size_t *consumed, struct gw_ws_item *item) {
    enum gw_ws_result result = GW_WS_MORE;
    size_t used = 0;
    do {
        if (decoder->phase == PHASE_HEADER) {
            used += take_header(decoder, config, data + used, length - used);
        }
        if (decoder->phase == PHASE_DATA) {
            result = take_data(decoder, data + used, length - used, &used, item);
        } else if (decoder->phase == PHASE_CONTROL) {
            result = take_control(decoder, config, data + used, length - used, &used, item);
        }
    } while (result == GW_WS_MORE && used < length && decoder->phase != PHASE_FAILED);

    *consumed = used;
    if (decoder->phase == PHASE_FAILED) {
        item->close_code = decoder->close_code;
        return GW_WS_ERROR;
    }
    return result;
}

// If an unfragmented data frame lies whole in the input, and within the limit: its header's bytes, else 0.
static inline size_t whole_header_bytes(const struct gw_ws_config *config, const uint8_t *data, size_t length,
                                        size_t *payload_bytes) {
    if (length < 2 + MASK_BYTES) {
        return 0;
    }
    const uint8_t opcode = data[0] ^ FIN;
    size_t header = 2 + MASK_BYTES;
    size_t payload = (size_t)data[1] ^ MASKED;
    if ((opcode != GW_WS_TEXT && opcode != GW_WS_BINARY) || payload > LENGTH_16) {
        return 0;
    }
    if (payload == LENGTH_16) {
        header += 2;
        payload = (size_t)load_big_endian(data + 2, 2);
        if (payload < LENGTH_16 || length < header) {
            return 0;
        }
    }
    *payload_bytes = payload;
    return payload <= length - header && payload <= config->message_bytes_max ? header : 0;
}

// Text that is not ASCII, in a whole frame.
__attribute__((noinline))
static enum gw_ws_result check_whole_text(struct gw_ws_decoder *decoder, struct gw_ws_item *item) {
    if (gw_utf8_feed(GW_UTF8_START, item->data, item->length) == GW_UTF8_START) {
        return GW_WS_DATA;
    }
    fail(decoder, GW_CLOSE_DATA);
    item->close_code = GW_CLOSE_DATA;
    return GW_WS_ERROR;
}

__attribute__((noinline))
static enum gw_ws_result unmask_long(struct gw_ws_decoder *decoder, uint32_t mask, struct gw_ws_item *item) {
    const bool ascii = gw_mask_apply(item->data, item->length, mask, 0);
    return ascii || item->opcode == GW_WS_BINARY ? GW_WS_DATA : check_whole_text(decoder, item);
}

enum gw_ws_result gw_ws_decode(struct gw_ws_decoder *decoder, const struct gw_ws_config *config, uint8_t *data,
                               size_t length, size_t *consumed, struct gw_ws_item *item) {
    const bool between_messages = gw_ws_is_between_messages(decoder);
    size_t payload;
    const size_t header = between_messages ? whole_header_bytes(config, data, length, &payload) : 0;
    if (header == 0) {
        return take_piece(decoder, config, data, length, consumed, item);
    }
    *consumed = header + payload;
    item->data = data + header;
    item->length = payload;
    item->frame_left = 0;
    item->opcode = data[0] & OPCODE;
    item->first = item->last = true;
    const uint32_t mask = load_mask(data + header - MASK_BYTES);
    if (payload > GW_MASK_SHORT_BYTES) {
        return unmask_long(decoder, mask, item);
    }
    const bool ascii = gw_mask_apply_short(data + header, payload, mask);
    return ascii || item->opcode == GW_WS_BINARY ? GW_WS_DATA : check_whole_text(decoder, item);
}

bool gw_ws_keep_text(uint8_t *text, size_t bytes) {
    if (gw_utf8_feed(GW_UTF8_START, text, bytes) == GW_UTF8_START) {
        return true;
    }
    (void)gw_mask_apply_short(text, bytes, load_mask(text - MASK_BYTES));
    return false;
}

bool gw_ws_unmask_short(uint8_t *data, size_t bytes, bool binary) {
    return gw_mask_apply_short(data, bytes, load_mask(data - MASK_BYTES)) || binary || gw_ws_keep_text(data, bytes);
}

// Unmasks what gw_ws_take_longer found, and checks it. False: it is no valid text, and masked again.
static inline bool unmask_longer(uint8_t *text, size_t bytes, bool binary) {
    const uint32_t mask = load_mask(text - MASK_BYTES);
    if (gw_mask_apply(text, bytes, mask, 0) || binary || gw_utf8_feed(GW_UTF8_START, text, bytes) == GW_UTF8_START) {
        return true;
    }
    (void)gw_mask_apply(text, bytes, mask, 0);
    return false;
}

bool gw_ws_take_longer(uint8_t *data, const uint8_t *end, uint64_t bytes_max, struct gw_ws_short *message) {
    if (end - data < GW_WS_LONGER_FRAME_BYTES_MIN) {
        return false;
    }
    uint32_t header;
    memcpy(&header, data, sizeof header);
    // As in gw_ws_take_short.
    const uint32_t rest = __builtin_bswap32(header) - ((uint32_t)(FIN | GW_WS_TEXT) << 24 | MASKED << 16);
    const uint32_t form = rest >> 16 & ~(1u << 8);
    uint8_t *text = data + 2 + MASK_BYTES;
    uint32_t bytes = form;
    if (form == LENGTH_16) {
        bytes = rest & 0xFFFF;
        text += 2;
        if (bytes < LENGTH_16) {
            return false;
        }
    } else if (form > LENGTH_16 || form <= GW_WS_SHORT_BYTES_MAX) {
        return false;
    }
    if (bytes > (size_t)(end - text) || bytes > bytes_max) {
        return false;
    }
    *message = (struct gw_ws_short){ .text = text, .bytes = bytes };
    return unmask_longer(text, bytes, rest >> 24 != 0);
}

static void store_big_endian(uint8_t *out, uint64_t value, size_t bytes) {
    for (size_t index = bytes; index > 0; index--) {
        out[index - 1] = (uint8_t)value;
        value >>= 8;
    }
}

size_t gw_ws_encode_long_header(uint8_t *out, enum gw_ws_opcode opcode, uint64_t payload_bytes) {
    const size_t bytes = gw_ws_header_bytes(payload_bytes);
    out[0] = (uint8_t)(FIN | opcode);
    out[1] = bytes == 4 ? LENGTH_16 : LENGTH_64;
    store_big_endian(out + 2, payload_bytes, bytes - 2);
    return bytes;
}

size_t gw_ws_encode_close(uint8_t *out, uint16_t code, const char *reason, size_t reason_bytes) {
    if (code == GW_CLOSE_NO_CODE) {
        return gw_ws_encode_header(out, GW_WS_CLOSE, 0);
    }
    if (reason == NULL) {
        reason_bytes = 0;
    }
    if (reason_bytes > GW_WS_CONTROL_BYTES_MAX - 2) {
        reason_bytes = GW_WS_CONTROL_BYTES_MAX - 2;
        while (reason_bytes > 0 && (reason[reason_bytes] & 0xC0) == 0x80) {
            reason_bytes--;
        }
    }
    const size_t header = gw_ws_encode_header(out, GW_WS_CLOSE, 2 + reason_bytes);
    store_big_endian(out + header, code, 2);
    if (reason_bytes > 0) {
        memcpy(out + header + 2, reason, reason_bytes);
    }
    return header + 2 + reason_bytes;
}
