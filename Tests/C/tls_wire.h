// The TLS layer alone: below it a backend that is two queues of bytes, above it a caller who notes down what it is told,
// beyond it a peer whose records are made and read here, with keys known to both and code of its own for all that the
// RFCs say of them, so that the two cannot agree on a mistake. No handshake is needed: a socket is made secure by hand.
//
// Layer: the tests of records and fuzz_tls_record. One thread, one socket at a time, number 0.
#ifndef TLS_WIRE_H
#define TLS_WIRE_H

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/kdf.h>

#include "gw_tls.h"
#include "tls_client.h"

enum { WIRE_EVENTS = 64, WIRE_BYTES = 1 << 19, WIRE_RECORD_BYTES = 5 + 8 + 65536 + 16, WIRE_NONE = -1 };

struct wire_way {
    uint64_t record;
    uint8_t key[32], iv[12], secret[48];
};

struct wire {
    struct gw_io io;                 // the backend; first
    struct gw_io *layer;
    struct gw_io_event events[WIRE_EVENTS];
    unsigned count;
    uint8_t sent[WIRE_BYTES];        // by the layer, not yet read by the peer
    uint32_t sent_bytes;
    int shut, closed;
    uint8_t heard[WIRE_BYTES];       // by the caller
    uint32_t heard_bytes;
    int ended, end_result, send_result;
    int is_1_3;
    enum gw_tls_cipher cipher;
    uint32_t secret_bytes;
    struct wire_way out, in;         // the peer's view
};

// The backend.

HELPER void wire_push(struct wire *w, struct gw_io_event event) {
    CHECK(w->count < WIRE_EVENTS);
    w->events[w->count++] = event;
}

HELPER void wire_ignore(struct gw_io *io) { (void)io; }
HELPER void wire_ignore_socket(struct gw_io *io, uint32_t socket) {
    (void)io;
    (void)socket;
}

HELPER void wire_take_back(struct gw_io *io, const uint32_t *buffers, unsigned count) {
    (void)io;
    (void)buffers;
    (void)count;
}

HELPER void wire_send(struct gw_io *io, uint32_t socket, const struct iovec *iov, unsigned count) {
    struct wire *w = (struct wire *)io;
    uint32_t total = 0;
    CHECK(!w->shut && !w->closed);
    for (unsigned i = 0; i < count; i++) {
        CHECK(w->sent_bytes + iov[i].iov_len <= WIRE_BYTES);
        memcpy(w->sent + w->sent_bytes, iov[i].iov_base, iov[i].iov_len);
        w->sent_bytes += (uint32_t)iov[i].iov_len;
        total += (uint32_t)iov[i].iov_len;
    }
    wire_push(w, (struct gw_io_event){ .kind = GW_IO_SENT, .socket = socket, .result = (int32_t)total });
}

HELPER void wire_shutdown(struct gw_io *io, uint32_t socket) {
    struct wire *w = (struct wire *)io;
    (void)socket;
    CHECK(!w->shut && !w->closed);
    w->shut = 1;
}

HELPER void wire_closed(struct gw_io *io, uint32_t socket) {
    struct wire *w = (struct wire *)io;
    CHECK(!w->closed);
    w->closed = 1;
    w->count = 0;
    wire_push(w, (struct gw_io_event){ .kind = GW_IO_CLOSED, .socket = socket });
}

HELPER int wire_turn_below(struct gw_io *io, uint64_t timeout_ns, struct gw_io_event *events, unsigned capacity) {
    struct wire *w = (struct wire *)io;
    const unsigned count = w->count < capacity ? w->count : capacity;
    (void)timeout_ns;
    memcpy(events, w->events, count * sizeof *events);
    w->count -= count;
    memmove(w->events, w->events + count, w->count * sizeof *events);
    return (int)count;
}

static const struct gw_io_ops wire_ops = {
    .name = "wire",
    .destroy = wire_ignore,
    .receive_start = wire_ignore_socket,
    .receive_pause = wire_ignore_socket,
    .buffers_return = wire_take_back,
    .send = wire_send,
    .shutdown = wire_shutdown,
    .close = wire_closed,
    .turn = wire_turn_below,
    .wake = wire_ignore,
};

// The caller: turns until nothing is left to do.
HELPER void wire_turn(struct wire *w) {
    struct gw_io_event events[8];
    int count;
    while ((count = gw_io_turn(w->layer, 0, events, 8)) > 0 || w->count > 0) {
        for (int i = 0; i < count; i++) {
            switch (events[i].kind) {
            case GW_IO_RECEIVED:
                CHECK(!w->ended && events[i].bytes > 0 && w->heard_bytes + events[i].bytes <= WIRE_BYTES);
                memcpy(w->heard + w->heard_bytes, events[i].data, events[i].bytes);
                w->heard_bytes += events[i].bytes;
                gw_io_buffers_return(w->layer, &events[i].buffer, 1);
                break;
            case GW_IO_ENDED:
                CHECK(!w->ended);
                w->ended = 1;
                w->end_result = events[i].result;
                break;
            case GW_IO_SENT:
                CHECK(events[i].result != 0);
                w->send_result = events[i].result;
                break;
            }
        }
    }
}

// What the peer's bytes become. The copy ends where its allocation ends.
HELPER void wire_feed(struct wire *w, const uint8_t *bytes, uint32_t length) {
    uint8_t *copy = malloc(length > 0 ? length : 1);
    CHECK(copy != NULL);
    memcpy(copy, bytes, length);
    if (length > 0) {
        wire_push(w, (struct gw_io_event){ .kind = GW_IO_RECEIVED, .data = copy, .bytes = length });
    }
    wire_turn(w);
    free(copy);
}

HELPER void wire_end(struct wire *w) {
    wire_push(w, (struct gw_io_event){ .kind = GW_IO_ENDED });
    wire_turn(w);
}

// Keys.

HELPER void wire_expand(const struct wire *w, const uint8_t *secret, const char *label, uint8_t *to, size_t length) {
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    char *digest = (char *)(uintptr_t)(w->secret_bytes == 48 ? "SHA384" : "SHA256");
    char prefix[] = "tls13 ";
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, strlen(digest)),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)secret, w->secret_bytes),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_PREFIX, prefix, sizeof prefix - 1),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_LABEL, (void *)(uintptr_t)label, strlen(label)),
        OSSL_PARAM_END,
    };
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_3_KDF, NULL);
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(kdf);
    CHECK(context != NULL && EVP_KDF_derive(context, to, length, parameters) == 1);
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
}

HELPER size_t wire_key_bytes(const struct wire *w) { return w->cipher == GW_TLS_AES_128_GCM ? 16 : 32; }
HELPER uint32_t wire_explicit_bytes(const struct wire *w) {
    return w->is_1_3 || w->cipher == GW_TLS_CHACHA20_POLY1305 ? 0 : 8;
}

HELPER void wire_expand_keys(const struct wire *w, struct wire_way *way) {
    wire_expand(w, way->secret, "key", way->key, wire_key_bytes(w));
    wire_expand(w, way->secret, "iv", way->iv, sizeof way->iv);
    way->record = 0;
}

// RFC 8446 section 7.2.
HELPER void wire_renew(const struct wire *w, struct wire_way *way) {
    uint8_t next[48];
    wire_expand(w, way->secret, "traffic upd", next, w->secret_bytes);
    memcpy(way->secret, next, w->secret_bytes);
    wire_expand_keys(w, way);
}

HELPER void wire_give_keys(struct gw_tls_keys *keys, const struct wire_way *way) {
    keys->record = way->record;
    memcpy(keys->key, way->key, sizeof keys->key);
    memcpy(keys->iv, way->iv, sizeof keys->iv);
    memcpy(keys->secret, way->secret, sizeof keys->secret);
}

HELPER struct gw_tls_socket *wire_socket(struct wire *w) { return &gw_tls(w->layer)->sockets[0]; }

// Records, the peer's way.

HELPER EVP_CIPHER_CTX *wire_begin(const struct wire *w, const struct wire_way *way, int sealing, const uint8_t *header,
                                  const uint8_t *explicit_part, uint32_t length) {
    const EVP_CIPHER *cipher = w->cipher == GW_TLS_AES_128_GCM   ? EVP_aes_128_gcm()
                               : w->cipher == GW_TLS_AES_256_GCM ? EVP_aes_256_gcm()
                                                                 : EVP_chacha20_poly1305();
    uint8_t nonce[12], aad[13];
    int aad_bytes = 5, ignored;
    memcpy(nonce, way->iv, 12);
    if (wire_explicit_bytes(w) > 0) {
        memcpy(nonce + 4, explicit_part, 8);
    }
    for (int i = 0; i < 8; i++) {
        const uint8_t byte = (uint8_t)(way->record >> (56 - 8 * i));
        nonce[4 + i] ^= wire_explicit_bytes(w) > 0 ? 0 : byte;
        aad[i] = byte;
    }
    if (w->is_1_3) {
        memcpy(aad, header, 5);
    } else {
        memcpy(aad + 8, header, 3);
        aad[11] = (uint8_t)(length >> 8);
        aad[12] = (uint8_t)length;
        aad_bytes = 13;
    }
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    CHECK(context != NULL && EVP_CipherInit_ex(context, cipher, NULL, way->key, nonce, sealing) == 1);
    CHECK(EVP_CipherUpdate(context, NULL, &ignored, aad, aad_bytes) == 1);
    return context;
}

// A record around bytes as they are: in 1.3 they have the inner type and the padding already.
HELPER uint32_t wire_seal_inner(struct wire *w, uint8_t outer, const uint8_t *inner, uint32_t length, uint8_t *to) {
    const uint32_t explicit_bytes = wire_explicit_bytes(w), body = explicit_bytes + length + 16;
    const uint8_t header[5] = { outer, 3, 3, (uint8_t)(body >> 8), (uint8_t)body };
    int written = 0;
    memcpy(to, header, 5);
    for (uint32_t i = 0; i < explicit_bytes; i++) {
        to[5 + i] = (uint8_t)(0xa5 ^ w->out.record >> 8 * i);   // any that does not come again will do
    }
    uint8_t *at = to + 5 + explicit_bytes;
    EVP_CIPHER_CTX *context = wire_begin(w, &w->out, 1, header, to + 5, length);
    CHECK(length == 0 || EVP_CipherUpdate(context, at, &written, inner, (int)length) == 1);
    CHECK(EVP_CipherFinal_ex(context, at + length, &written) == 1);
    CHECK(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, 16, at + length) == 1);
    EVP_CIPHER_CTX_free(context);
    w->out.record++;
    return 5 + body;
}

HELPER uint32_t wire_seal(struct wire *w, uint8_t type, const void *content, uint32_t length, uint32_t zeros,
                          uint8_t *to) {
    uint8_t *inner = calloc(1, length + 1 + zeros);
    CHECK(inner != NULL);
    memcpy(inner, content, length);
    inner[length] = type;
    const uint32_t bytes = w->is_1_3 ? wire_seal_inner(w, 23, inner, length + 1 + zeros, to)
                                     : wire_seal_inner(w, type, inner, length, to);
    free(inner);
    return bytes;
}

HELPER void wire_say(struct wire *w, uint8_t type, const void *content, uint32_t length) {
    uint8_t *record = malloc(WIRE_RECORD_BYTES);
    CHECK(record != NULL);
    wire_feed(w, record, wire_seal(w, type, content, length, 0, record));
    free(record);
}

// The layer's next record: its content's length, or WIRE_NONE. Every record must open.
HELPER int wire_hear(struct wire *w, uint8_t *type, uint8_t *content) {
    if (w->sent_bytes == 0) {
        return WIRE_NONE;
    }
    CHECK(w->sent_bytes >= 5);
    const uint32_t body = (uint32_t)w->sent[3] << 8 | w->sent[4], explicit_bytes = wire_explicit_bytes(w);
    CHECK(body <= 16384 + 256 && w->sent_bytes >= 5 + body && body >= explicit_bytes + 16);
    uint32_t length = body - explicit_bytes - 16;
    uint8_t *at = w->sent + 5 + explicit_bytes;
    int written = 0;
    EVP_CIPHER_CTX *context = wire_begin(w, &w->in, 0, w->sent, w->sent + 5, length);
    CHECK(length == 0 || EVP_CipherUpdate(context, content, &written, at, (int)length) == 1);
    CHECK(EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, 16, at + length) == 1);
    CHECK(EVP_CipherFinal_ex(context, content + length, &written) == 1);
    EVP_CIPHER_CTX_free(context);
    w->in.record++;
    *type = w->sent[0];
    if (w->is_1_3) {
        CHECK(*type == 23 && length > 0);
        *type = content[--length];
    }
    w->sent_bytes -= 5 + body;
    memmove(w->sent, w->sent + 5 + body, w->sent_bytes);
    return (int)length;
}

// Life.

HELPER struct wire *wire_new(uint64_t records_max) {
    struct wire *w = calloc(1, sizeof *w);
    CHECK(w != NULL);
    w->io = (struct gw_io){ .ops = &wire_ops, .receive_buffers = 4, .receive_buffer_bytes = 1024 };
    const struct gw_tls_config config = { .certificate_file = tls_files()->certificate, .key_file = tls_files()->key,
                                          .sockets_max = 1, .handshakes_max = 1, .buffer_bytes_max = 4 << 20,
                                          .records_max = records_max };
    CHECK(gw_io_tls_create(&w->io, &config, &w->layer) == 0);
    return w;
}

// A new connection, before its handshake.
HELPER void wire_accept(struct wire *w) {
    w->count = w->sent_bytes = w->heard_bytes = 0;
    w->shut = w->closed = w->ended = w->end_result = w->send_result = 0;
    wire_push(w, (struct gw_io_event){ .kind = GW_IO_ACCEPTED });
    wire_turn(w);
    gw_io_receive_start(w->layer, 0);
}

// What a handshake would have left to an accepted connection.
HELPER void wire_give_all_keys(struct wire *w, int is_1_3, enum gw_tls_cipher cipher) {
    struct gw_tls_socket *s = wire_socket(w);
    w->is_1_3 = is_1_3;
    w->cipher = cipher;
    w->secret_bytes = cipher == GW_TLS_AES_256_GCM ? 48 : 32;
    for (int i = 0; i < 2; i++) {
        struct wire_way *way = i == 0 ? &w->out : &w->in;
        memset(way->secret, 0x11 + i, sizeof way->secret);
        wire_expand_keys(w, way);
        way->record = !is_1_3;
        wire_give_keys(&s->keys[i == 0 ? GW_TLS_IN : GW_TLS_OUT], way);
    }
    s->is_1_3 = (uint8_t)is_1_3;
    s->cipher = (uint8_t)cipher;
    s->secret_bytes = (uint8_t)w->secret_bytes;
    s->flags |= GW_TLS_SECURE;
}

// A new connection, after it.
HELPER void wire_secure(struct wire *w, int is_1_3, enum gw_tls_cipher cipher) {
    wire_accept(w);
    wire_give_all_keys(w, is_1_3, cipher);
}

HELPER void wire_close(struct wire *w) {
    gw_io_close(w->layer, 0);
    wire_turn(w);
    CHECK(gw_pool_held_bytes(gw_tls(w->layer)->pool) == 0);
    CHECK(gw_tls(w->layer)->buffers_free == w->io.receive_buffers);
}

HELPER void wire_free(struct wire *w) {
    gw_io_destroy(w->layer);
    OPENSSL_cleanse(w, sizeof *w);   // a later test may look for keys
    free(w);
}

#endif
