// The frame layer of RFC 6455 section 5: an incremental decoder for the server's side, and the encoder.
// No I/O, no malloc. The decoder hands out the payload where it lies, unmasked in place; joining the pieces of
// a message is gw_message.h.
//
// Owner: one connection's thread. Invariants: consumed <= length; a DATA item's bytes lie in
// [data, data + consumed); a decoder holds a buffer only while a control frame's payload has arrived in part.
#ifndef GW_WS_H
#define GW_WS_H

#include <stddef.h>
#include <stdint.h>

struct gw_pool;
struct gw_buf;

enum gw_ws_opcode {
    GW_WS_CONTINUATION = 0x0, GW_WS_TEXT = 0x1, GW_WS_BINARY = 0x2,
    GW_WS_CLOSE = 0x8, GW_WS_PING = 0x9, GW_WS_PONG = 0xA,
};

// Those that a server itself has to say or tell: RFC 6455 section 7.4.1 and the registry that section 11.7 founds.
enum gw_close_code {
    GW_CLOSE_PROTOCOL = 1002,
    GW_CLOSE_NO_CODE = 1005,     // told, never sent
    GW_CLOSE_ABNORMAL = 1006,    // likewise
    GW_CLOSE_DATA = 1007,
    GW_CLOSE_TOO_BIG = 1009,
    GW_CLOSE_TRY_AGAIN = 1013,   // no buffer
};

enum { GW_WS_CONTROL_BYTES_MAX = 125, GW_WS_HEADER_BYTES_MAX = 14, GW_WS_SERVER_HEADER_BYTES_MAX = 10 };

// What all connections of a thread share.
struct gw_ws_config {
    uint64_t message_bytes_max;
    uint32_t fragments_max;      // frames a message may come in; 0 counts as 1
    struct gw_pool *pool;        // lends a buffer to a control frame that arrives in pieces
};

// One connection's inbound state: 56 bytes, because an idle connection keeps it. Private to gw_ws.c.
struct gw_ws_decoder {
    uint64_t frame_left;        // payload bytes of the current frame still to come
    uint64_t message_bytes;     // of the current message, as announced by its frames so far
    struct gw_buf *control;     // a control payload arriving in pieces, still masked; else NULL
    uint32_t mask;
    uint32_t fragments;
    union {
        struct {
            uint8_t phase;
            uint8_t header_length;      // bytes gathered of a header that arrives in pieces
            uint8_t message_opcode;     // of the message under way, 0: none
            uint8_t message_begun;      // a piece of it has been handed out
        };
        uint32_t midway;        // the four, for one look at the first three
    };
    uint16_t close_code;        // of the failure, once failed
    uint8_t utf8;               // gw_utf8.h state of a text message
    uint8_t mask_offset;        // into the mask, mod 4
    uint8_t deflate;            // set by the caller after init: permessage-deflate was agreed
    uint8_t compressed;         // so is the message under way
    uint8_t header[GW_WS_HEADER_BYTES_MAX];
};
#define GW_WS_MIDWAY 0xFFFFFFu
void gw_ws_decoder_init(struct gw_ws_decoder *decoder);
void gw_ws_decoder_deinit(struct gw_ws_decoder *decoder, struct gw_pool *pool);

enum gw_ws_result {
    GW_WS_MORE,      // all input is consumed and no item is whole
    GW_WS_DATA,      // a piece of a message: data, length; first/last tell where in the message it lies.
                     // An empty message gives one piece of length 0 with both set.
    GW_WS_DEFLATED,  // the same of a message that is compressed (RFC 7692): not looked at, for gw_deflate.h
    GW_WS_CONTROL,   // a whole ping, pong or close: opcode, data, length. A close's data is its reason
    GW_WS_ERROR,     // the connection must be failed with close_code; the decoder takes nothing more
};

struct gw_ws_item {
    uint8_t *data;           // in the input, or in control below: copy the item and it dangles
    uint64_t length;
    uint64_t frame_left;     // DATA: bytes of this frame that follow in later pieces (a hint for the joiner)
    uint8_t opcode;          // DATA: the message's, GW_WS_TEXT or GW_WS_BINARY
    uint8_t first, last;
    uint16_t close_code;     // ERROR: 1002, 1007, 1009 or 1013. CONTROL close: the peer's code, 1005 if none
    uint8_t control[GW_WS_CONTROL_BYTES_MAX];
};

// Takes bytes from data, unmasks what it hands out in place, and stops after one item.
// Fails with
//   1002: RSV bits (but RSV1 on a message's first frame where permessage-deflate was agreed), reserved opcodes, an
//         unmasked frame, a control frame that is fragmented or over 125 bytes, a length not in its shortest form or
//         with the top bit set, an orphan continuation, a new message inside one, a 1-byte close, a close code that
//         may not be sent (RFC 6455 section 7.4)
//   1007: broken UTF-8 in text, as soon as its byte arrives, or in a close reason
//   1009: over the limits, as soon as a header says so
//   1013: no buffer for a control frame that arrives in pieces
enum gw_ws_result gw_ws_decode(struct gw_ws_decoder *decoder, const struct gw_ws_config *config, uint8_t *data,
                               size_t length, size_t *consumed, struct gw_ws_item *item);

static inline size_t gw_ws_header_bytes(uint64_t payload_bytes) {
    return payload_bytes < 126 ? 2 : payload_bytes <= 0xFFFF ? 4 : 10;
}

size_t gw_ws_encode_long_header(uint8_t *out, enum gw_ws_opcode opcode, uint64_t payload_bytes);

// Writes the header of an unmasked, unfragmented server frame; returns its 2, 4 or 10 bytes.
static inline size_t gw_ws_encode_header(uint8_t *out, enum gw_ws_opcode opcode, uint64_t payload_bytes) {
    if (payload_bytes >= 126) {
        return gw_ws_encode_long_header(out, opcode, payload_bytes);
    }
    out[0] = (uint8_t)(0x80 | opcode);
    out[1] = (uint8_t)payload_bytes;
    return 2;
}

// Writes a whole close frame; reason may be NULL. Returns its bytes (<= 127). Code 1005 gives an empty one; a
// reason over 123 bytes is cut at a code point.
size_t gw_ws_encode_close(uint8_t *out, uint16_t code, const char *reason, size_t reason_bytes);

// Says in a header already written that its message is compressed.
static inline void gw_ws_mark_deflated(uint8_t *header) { header[0] |= 0x40; }

#endif
