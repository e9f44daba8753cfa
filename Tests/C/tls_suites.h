// What the tests of records and of keys share: the six ways to protect a record, and what is expected of the layer.
#ifndef TLS_SUITES_H
#define TLS_SUITES_H

#include "tls_wire.h"

enum { USELESS_MAX = GW_TLS_USELESS_RECORDS_MAX, ILLEGAL_PARAMETER = 47 };

static const struct suite {
    const char *name;
    int is_1_3;
    enum gw_tls_cipher cipher;
} suites[] = {
    { "1.3 AES-128-GCM", 1, GW_TLS_AES_128_GCM }, { "1.3 AES-256-GCM", 1, GW_TLS_AES_256_GCM },
    { "1.3 ChaCha20", 1, GW_TLS_CHACHA20_POLY1305 }, { "1.2 AES-128-GCM", 0, GW_TLS_AES_128_GCM },
    { "1.2 AES-256-GCM", 0, GW_TLS_AES_256_GCM }, { "1.2 ChaCha20", 0, GW_TLS_CHACHA20_POLY1305 },
};
enum { SUITES = sizeof suites / sizeof *suites };

static const uint8_t close_notify[] = { 1, 0 }, key_update[] = { 24, 0, 0, 1, 0 }, update_wanted[] = { 24, 0, 0, 1, 1 };
static uint8_t record[WIRE_RECORD_BYTES], content[WIRE_RECORD_BYTES];

HELPER struct wire *secure(const struct suite *suite) {
    struct wire *w = wire_new(0);
    wire_secure(w, suite->is_1_3, suite->cipher);
    return w;
}

HELPER void done(struct wire *w) {
    wire_close(w);
    wire_free(w);
}

HELPER void expect_heard(struct wire *w, const char *bytes) {
    CHECK(w->heard_bytes == strlen(bytes) && memcmp(w->heard, bytes, w->heard_bytes) == 0);
}

// The connection has ended as a broken one, told so by the last record that was sent; then the case is over.
HELPER void expect_refused(struct wire *w, const char *row, uint8_t alert) {
    uint8_t type = 0;
    int length, last = WIRE_NONE;
    CHECK_ROW(row, w->ended && w->end_result == -EPROTO);
    while ((length = wire_hear(w, &type, content)) != WIRE_NONE) {
        last = length;
    }
    CHECK_ROW(row, last == 2 && type == GW_TLS_ALERT && content[0] == 2 && content[1] == alert);
    // Nor is anything of what follows told, however good.
    const uint32_t heard = w->heard_bytes;
    wire_say(w, GW_TLS_DATA, "more", 4);
    CHECK_ROW(row, w->heard_bytes == heard && w->sent_bytes == 0);
    wire_close(w);
    CHECK_ROW(row, w->sent_bytes == 0);
    wire_free(w);
}

#endif
