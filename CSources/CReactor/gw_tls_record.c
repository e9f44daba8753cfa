// Records: one in, one out (RFC 8446 section 5, RFC 5246 section 6.2 with the AEAD ciphers of RFC 5288 and 7905).
// Plaintext is encrypted from where the caller has it into the queue, ciphertext decrypted from where it was received
// into the buffer that the caller gets; a record is told only after its tag has been found right.
//
// A cipher that is ready for use is some kilobyte, so a connection has none of its own: a fixed number of them is
// shared, a connection's place is its number's, and who finds another's key there sets its own.
//
// Owner and thread: the reactor's, as gw_tls.h says.
#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>
#include <string.h>

#include "gw_tls.h"

enum {
    GW_TLS_READY_CIPHERS = 512,
    GW_TLS_AAD_BYTES_MAX = 13,
    GW_TLS_JOINED_BYTES_MAX = 1024,   // to copy so many costs less than a second call
};

struct gw_tls_ready_cipher {
    EVP_CIPHER_CTX *context;     // NULL until needed
    uint32_t owner;              // a socket's number and 1: its key is set
    uint8_t cipher;
};

int gw_tls_ciphers_open(struct gw_io_tls *t) {
    static const char *const names[GW_TLS_CIPHERS] = { "AES-128-GCM", "AES-256-GCM", "ChaCha20-Poly1305" };
    t->ready_ciphers = calloc(2 * GW_TLS_READY_CIPHERS, sizeof *t->ready_ciphers);
    for (int cipher = 0; cipher < GW_TLS_CIPHERS; cipher++) {
        t->ciphers[cipher] = EVP_CIPHER_fetch(NULL, names[cipher], NULL);
        if (t->ciphers[cipher] == NULL) {
            ERR_clear_error();
            return -ENOMEM;
        }
    }
    return t->ready_ciphers != NULL ? 0 : -ENOMEM;
}

void gw_tls_ciphers_close(struct gw_io_tls *t) {
    for (int i = 0; t->ready_ciphers != NULL && i < 2 * GW_TLS_READY_CIPHERS; i++) {
        EVP_CIPHER_CTX_free(t->ready_ciphers[i].context);
    }
    for (int cipher = 0; cipher < GW_TLS_CIPHERS; cipher++) {
        EVP_CIPHER_free(t->ciphers[cipher]);
    }
    free(t->ready_ciphers);
}

static struct gw_tls_ready_cipher *gw_tls_place(struct gw_io_tls *t, uint32_t socket, enum gw_tls_way way) {
    return &t->ready_ciphers[2 * (socket % GW_TLS_READY_CIPHERS) + (uint32_t)way];
}

static void gw_tls_free_ready(struct gw_tls_ready_cipher *ready) {
    EVP_CIPHER_CTX_free(ready->context);
    ready->context = NULL;
    ERR_clear_error();
}

void gw_tls_forget_cipher(struct gw_io_tls *t, const struct gw_tls_socket *s) {
    const uint32_t socket = gw_tls_number(t, s);
    static const uint8_t no_key[32];
    for (int way = GW_TLS_IN; way <= GW_TLS_OUT; way++) {
        struct gw_tls_ready_cipher *ready = gw_tls_place(t, socket, (enum gw_tls_way)way);
        if (ready->owner == socket + 1) {
            // Another key in its place wipes it, for OpenSSL has made a schedule of it there.
            ready->owner = 0;
            if (EVP_CipherInit_ex(ready->context, NULL, NULL, no_key, NULL, way == GW_TLS_OUT) != 1) {
                gw_tls_free_ready(ready);
            }
        }
    }
}

// NULL: OpenSSL found no memory.
static EVP_CIPHER_CTX *gw_tls_cipher(struct gw_io_tls *t, const struct gw_tls_socket *s, enum gw_tls_way way) {
    const uint32_t owner = gw_tls_number(t, s) + 1;
    struct gw_tls_ready_cipher *ready = gw_tls_place(t, owner - 1, way);
    if (ready->owner == owner) {
        return ready->context;
    }
    if (ready->context == NULL && (ready->context = EVP_CIPHER_CTX_new()) == NULL) {
        return NULL;
    }
    const int other = EVP_CIPHER_CTX_get0_cipher(ready->context) == NULL || ready->cipher != s->cipher;
    ready->owner = 0;
    if (EVP_CipherInit_ex(ready->context, other ? t->ciphers[s->cipher] : NULL, NULL, s->keys[way].key, NULL,
                          way == GW_TLS_OUT) != 1) {
        gw_tls_free_ready(ready);   // which cipher it has now is not known
        return NULL;
    }
    ready->owner = owner;
    ready->cipher = s->cipher;
    return ready->context;
}

void gw_tls_put_number(uint8_t *to, uint64_t number) {
    for (int i = 7; i >= 0; i--, number >>= 8) {
        to[i] = (uint8_t)number;
    }
}

// Where a cipher of 1.2 has its nonce's second half in the record, the first is the salt that both know.
static void gw_tls_make_nonce(const struct gw_tls_socket *s, enum gw_tls_way way, const uint8_t *explicit_part,
                              uint8_t *nonce) {
    const struct gw_tls_keys *keys = &s->keys[way];
    uint8_t number[8];
    memcpy(nonce, keys->iv, GW_TLS_IV_BYTES);
    if (gw_tls_explicit_bytes(s) > 0) {
        memcpy(nonce + gw_tls_salt_bytes(s), explicit_part, GW_TLS_EXPLICIT_BYTES);
        return;
    }
    gw_tls_put_number(number, keys->record);
    for (int i = 0; i < 8; i++) {
        nonce[4 + i] ^= number[i];
    }
}

// What the tag covers beside the bytes. header: the record's five bytes.
static uint32_t gw_tls_make_aad(const struct gw_tls_socket *s, enum gw_tls_way way, const uint8_t *header,
                                uint32_t plain_bytes, uint8_t *aad) {
    if (s->is_1_3) {
        memcpy(aad, header, GW_TLS_HEADER_BYTES);
        return GW_TLS_HEADER_BYTES;
    }
    gw_tls_put_number(aad, s->keys[way].record);
    memcpy(aad + 8, header, 3);
    aad[11] = (uint8_t)(plain_bytes >> 8);
    aad[12] = (uint8_t)plain_bytes;
    return GW_TLS_AAD_BYTES_MAX;
}

// A cipher with its key, the next record's nonce, and the bytes beside it; NULL: OpenSSL refuses.
static EVP_CIPHER_CTX *gw_tls_begin_record(struct gw_io_tls *t, struct gw_tls_socket *s, enum gw_tls_way way,
                                           const uint8_t *header, const uint8_t *explicit_part, uint32_t plain_bytes) {
    uint8_t nonce[GW_TLS_IV_BYTES], aad[GW_TLS_AAD_BYTES_MAX];
    int ignored;
    EVP_CIPHER_CTX *cipher = gw_tls_cipher(t, s, way);
    gw_tls_make_nonce(s, way, explicit_part, nonce);
    const uint32_t aad_bytes = gw_tls_make_aad(s, way, header, plain_bytes, aad);
    const int begun = cipher != NULL && EVP_CipherInit_ex(cipher, NULL, NULL, NULL, nonce, way == GW_TLS_OUT) == 1
        && EVP_CipherUpdate(cipher, NULL, &ignored, aad, (int)aad_bytes) == 1;
    return begun ? cipher : NULL;
}

uint32_t gw_tls_take_piece(struct gw_tls_source *source, uint32_t most, const uint8_t **data) {
    const size_t left = source->iov->iov_len - source->offset;
    const uint32_t taken = left < most ? (uint32_t)left : most;
    *data = (const uint8_t *)source->iov->iov_base + source->offset;
    source->offset += taken;
    if (source->offset == source->iov->iov_len) {
        source->iov++;
        source->count--;
        source->offset = 0;
    }
    return taken;
}

uint32_t gw_tls_sealed_bytes(const struct gw_tls_socket *s, uint32_t plain_bytes) {
    return GW_TLS_HEADER_BYTES + gw_tls_explicit_bytes(s) + plain_bytes + s->is_1_3 + GW_TLS_TAG_BYTES;
}

int gw_tls_seal(struct gw_io_tls *t, struct gw_tls_socket *s, enum gw_tls_content type, struct gw_tls_source *source,
                uint32_t plain_bytes, uint8_t *to) {
    const uint32_t body = gw_tls_sealed_bytes(s, plain_bytes) - GW_TLS_HEADER_BYTES;
    const uint8_t inner = (uint8_t)type;
    int written = 0;
    to[0] = s->is_1_3 ? GW_TLS_DATA : inner;
    to[1] = to[2] = 3;
    to[3] = (uint8_t)(body >> 8);
    to[4] = (uint8_t)body;
    uint8_t *at = to + GW_TLS_HEADER_BYTES;
    if (gw_tls_explicit_bytes(s) > 0) {
        gw_tls_put_number(at, s->keys[GW_TLS_OUT].record);
    }
    EVP_CIPHER_CTX *cipher = gw_tls_begin_record(t, s, GW_TLS_OUT, to, at, plain_bytes);
    int good = cipher != NULL;
    at += gw_tls_explicit_bytes(s);
    uint8_t *const joined = plain_bytes <= GW_TLS_JOINED_BYTES_MAX ? at : NULL;
    for (uint32_t left = plain_bytes; good && left > 0;) {
        const uint8_t *data;
        const uint32_t piece = gw_tls_take_piece(source, left, &data);
        if (joined != NULL) {
            memcpy(at, data, piece);
        } else {
            good = EVP_CipherUpdate(cipher, at, &written, data, (int)piece) == 1;
        }
        at += piece;
        left -= piece;
    }
    if (s->is_1_3) {
        *at++ = inner;
    }
    const uint8_t *const rest = joined != NULL ? joined : at - s->is_1_3;
    if (good && at != rest) {
        good = EVP_CipherUpdate(cipher, (uint8_t *)rest, &written, rest, (int)(at - rest)) == 1;
    }
    good = good && EVP_CipherFinal_ex(cipher, at, &written) == 1
        && EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_GET_TAG, GW_TLS_TAG_BYTES, at) == 1;
    s->keys[GW_TLS_OUT].record++;
    return good;
}

// The content type behind the content, and the zeros behind that, of TLS 1.3.
static uint8_t gw_tls_strip(const uint8_t *plain, uint32_t *bytes) {
    while (*bytes > 0 && plain[*bytes - 1] == 0) {
        (*bytes)--;
    }
    return *bytes > 0 ? plain[--*bytes] : 0;
}

uint32_t gw_tls_opened_bytes(const struct gw_tls_socket *s, uint32_t body_bytes) {
    const uint32_t overhead = gw_tls_explicit_bytes(s) + GW_TLS_TAG_BYTES;
    return body_bytes >= overhead ? body_bytes - overhead : 0;
}

enum gw_tls_alert gw_tls_open(struct gw_io_tls *t, struct gw_tls_socket *s, const uint8_t *header,
                              struct gw_tls_input *input, uint32_t body_bytes, uint8_t *to, uint32_t *plain_bytes,
                              uint8_t *type) {
    uint8_t explicit_part[GW_TLS_EXPLICIT_BYTES], tag[GW_TLS_TAG_BYTES];
    if (body_bytes < gw_tls_explicit_bytes(s) + GW_TLS_TAG_BYTES + s->is_1_3) {
        return GW_TLS_BAD_RECORD_MAC;
    }
    *plain_bytes = gw_tls_opened_bytes(s, body_bytes);
    gw_tls_copy_input(input, explicit_part, gw_tls_explicit_bytes(s));
    EVP_CIPHER_CTX *cipher = gw_tls_begin_record(t, s, GW_TLS_IN, header, explicit_part, *plain_bytes);
    int good = cipher != NULL, written = 0;
    for (uint32_t at = 0; good && at < *plain_bytes;) {
        const uint8_t *data;
        const uint32_t piece = gw_tls_peek_input(input, *plain_bytes - at, &data);
        good = EVP_CipherUpdate(cipher, to + at, &written, data, (int)piece) == 1;
        at += piece;
    }
    gw_tls_copy_input(input, tag, sizeof tag);
    good = good && EVP_CIPHER_CTX_ctrl(cipher, EVP_CTRL_AEAD_SET_TAG, sizeof tag, tag) == 1
        && EVP_CipherFinal_ex(cipher, tag, &written) == 1;
    if (!good) {
        ERR_clear_error();
        return GW_TLS_BAD_RECORD_MAC;
    }
    s->keys[GW_TLS_IN].record++;
    if (*plain_bytes > GW_TLS_RECORD_BYTES + (uint32_t)s->is_1_3) {
        return GW_TLS_RECORD_OVERFLOW;   // padding counts, RFC 8446 section 5.4
    }
    *type = s->is_1_3 ? gw_tls_strip(to, plain_bytes) : header[0];
    return GW_TLS_NO_ALERT;
}
