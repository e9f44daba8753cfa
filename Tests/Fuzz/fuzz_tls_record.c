// Records of TLS behind the handshake: whatever the peer sends, sealed well or not,
//   what is told is what good records held, in their order, and nothing from the first bad byte on
//   an end is orderly only when it was signed
//   what is sent opens with the keys that the peer has by then, and holds nothing behind our end
//   no buffer is left (and the sanitizer sees no memory)
// The target knows the keys, so that an input is what lies in the records, and wrong bytes on purpose.
//
// Input: a byte for the suite, the splits (fuzz.h), then operations: a byte that says which, one of length, the bytes.
#include "fuzz.h"
#include "tls_wire.h"

enum { RECORDS_MAX = 5, RECORD_ROOM = 1 << 17 };

enum operation { SEAL_DATA, SEAL_ALERT, SEAL_HANDSHAKE, SEAL_ANY, SEAL_LONG, RAW, ALTER, SEND, SHUT, END, OPERATIONS };

static struct wire *w;
static struct fuzz_splits splits;
static uint8_t good[WIRE_BYTES], record[RECORD_ROOM], content[RECORD_ROOM];
static uint32_t good_bytes;
static uint32_t update_bytes;   // of a KeyUpdate of the peer's
static int doubtful, signed_end, shut, said_end;

// What the layer has sent is read at once.
static void listen_all(void) {
    uint8_t type;
    int length;
    while ((length = wire_hear(w, &type, content)) != WIRE_NONE) {
        EXPECT(!said_end);
        if (type == GW_TLS_HANDSHAKE) {
            EXPECT(w->is_1_3 && length == 5 && content[0] == 24 && content[4] == 0);
            wire_renew(w, &w->in);
        } else if (type == GW_TLS_ALERT) {
            EXPECT(length == 2 && content[0] == (content[1] == GW_TLS_CLOSE_NOTIFY ? 1 : 2));
            said_end = 1;
        } else {
            EXPECT(type == GW_TLS_DATA && length > 0);
        }
    }
    EXPECT(w->heard_bytes <= good_bytes && memcmp(w->heard, good, w->heard_bytes) == 0);
    EXPECT(doubtful || w->ended || w->heard_bytes == good_bytes);
}

static void feed(const uint8_t *bytes, uint32_t length) {
    for (uint32_t at = 0; at < length;) {
        const uint32_t piece = (uint32_t)fuzz_next_split(&splits, length - at);
        wire_feed(w, bytes + at, piece);
        at += piece;
    }
}

static void say(uint8_t type, const uint8_t *bytes, uint32_t length, uint32_t zeros) {
    const int counts = !doubtful && !w->ended;
    const uint32_t sealed = wire_seal(w, type, bytes, length, zeros, record);
    // No type is padding: the last byte that is none is the type (RFC 8446 section 5.2).
    for (; w->is_1_3 && type == 0 && length > 0; length--) {
        type = bytes[length - 1];
    }
    if (type == GW_TLS_DATA && counts) {
        EXPECT(good_bytes + length <= sizeof good);
        memcpy(good + good_bytes, bytes, length);
        good_bytes += length;
    }
    signed_end |= type == GW_TLS_ALERT && length == 2 && bytes[1] == GW_TLS_CLOSE_NOTIFY && counts;
    feed(record, sealed);
    if (type == GW_TLS_HANDSHAKE && counts && !w->ended) {
        EXPECT(w->is_1_3 && length > 0 && update_bytes + length <= 5);
        update_bytes = (update_bytes + length) % 5;
        if (update_bytes == 0) {
            wire_renew(w, &w->out);
        }
    }
    EXPECT(update_bytes == 0 || type == GW_TLS_HANDSHAKE || !counts || w->ended);
}

static void operate(uint8_t which, const uint8_t *bytes, uint32_t length) {
    static uint8_t text[16600];
    uint32_t sealed;
    const struct iovec piece = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = length };
    switch (which % OPERATIONS) {
    case SEAL_DATA:
        say(GW_TLS_DATA, bytes, length, which / OPERATIONS);
        break;
    case SEAL_ALERT:
        say(GW_TLS_ALERT, bytes, length, which / OPERATIONS);
        break;
    case SEAL_HANDSHAKE:
        say(GW_TLS_HANDSHAKE, bytes, length, which / OPERATIONS);
        break;
    case SEAL_ANY:
        if (length > 0) {
            say(bytes[0], bytes + 1, length - 1, which / OPERATIONS);
        }
        break;
    case SEAL_LONG:   // around the longest
        if (good_bytes + sizeof text <= sizeof good) {
            say(GW_TLS_DATA, text, 16384 - 8 + length % 16, which / OPERATIONS);
        }
        break;
    case RAW:
        doubtful |= length > 0;
        feed(bytes, length);
        break;
    case ALTER:
        if (length >= 2) {
            sealed = wire_seal(w, GW_TLS_DATA, bytes, length, 0, record);
            record[bytes[0] % sealed] ^= bytes[1];
            doubtful = 1;
            if (bytes[1] == 0) {
                record[sealed - 1] ^= 1;
            }
            feed(record, sealed);
        }
        break;
    case SEND:
        if (!shut && length > 0) {
            gw_io_send(w->layer, 0, &piece, 1);
            wire_turn(w);
            EXPECT(w->send_result == (int)length || (w->ended && w->send_result < 0)
                   || (!w->is_1_3 && w->send_result == -EKEYEXPIRED && w->in.record >= RECORDS_MAX));
        }
        break;
    case SHUT:
        if (!shut) {
            shut = 1;
            gw_io_shutdown(w->layer, 0);
            wire_turn(w);
        }
        break;
    case END:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
    if (w == NULL) {
        w = wire_new(RECORDS_MAX);
    }
    if (length < 2) {
        return 0;
    }
    const uint8_t suite = *data % (2 * GW_TLS_CIPHERS);
    data++;
    length--;
    splits = fuzz_take_splits(&data, &length);
    wire_secure(w, suite < GW_TLS_CIPHERS, (enum gw_tls_cipher)(suite % GW_TLS_CIPHERS));
    good_bytes = update_bytes = 0;
    doubtful = signed_end = shut = said_end = 0;
    for (int operations = 0; length >= 2 && operations < 200 && good_bytes < sizeof good / 2; operations++) {
        const uint8_t which = data[0];
        const uint32_t bytes = data[1] < length - 2 ? data[1] : (uint32_t)length - 2;
        operate(which, data + 2, bytes);
        listen_all();
        data += 2 + bytes;
        length -= 2 + bytes;
        if (which % OPERATIONS == END) {
            break;
        }
    }
    wire_end(w);
    EXPECT(w->ended && (w->end_result != 0 || signed_end));
    listen_all();
    wire_close(w);
    listen_all();
    return 0;
}
