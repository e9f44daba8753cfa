// Traffic keys: taken from OpenSSL once it has shaken hands, which ends its part in the connection, and renewed.
//
// Of TLS 1.3 OpenSSL tells the traffic secrets through its key log, which nothing is written to here; of 1.2 the
// session has the master secret. Everything else follows from those (RFC 8446 section 7, RFC 5246 section 6.3).
//
// Owner and thread: the reactor's, as gw_tls.h says.
#include <assert.h>
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <string.h>

#include "gw_tls.h"

enum { GW_TLS_MASTER_BYTES = 48, GW_TLS_LABEL_BYTES_MAX = 32, GW_TLS_DEAD_STACK_BYTES = 8 << 10 };

const uint8_t gw_tls_key_bytes[GW_TLS_CIPHERS] = { 16, 32, 32 };

static const EVP_MD *gw_tls_digest(uint32_t secret_bytes) { return secret_bytes == 48 ? EVP_sha384() : EVP_sha256(); }

// HKDF-Expand-Label without a context, for at most one block of the digest: RFC 8446 section 7.1, RFC 5869 section 2.3.
static int gw_tls_expand(const uint8_t *secret, uint32_t secret_bytes, const char *label, uint8_t *to, uint32_t length) {
    static const char prefix[] = "tls13 ";
    uint8_t info[4 + sizeof prefix + GW_TLS_LABEL_BYTES_MAX], block[EVP_MAX_MD_SIZE];
    const size_t prefix_bytes = sizeof prefix - 1, label_bytes = strlen(label);
    assert(label_bytes <= GW_TLS_LABEL_BYTES_MAX && length <= secret_bytes);
    size_t at = 0;
    info[at++] = (uint8_t)(length >> 8);
    info[at++] = (uint8_t)length;
    info[at++] = (uint8_t)(prefix_bytes + label_bytes);
    memcpy(info + at, prefix, prefix_bytes);
    memcpy(info + at + prefix_bytes, label, label_bytes);
    at += prefix_bytes + label_bytes;
    info[at++] = 0;
    info[at++] = 1;
    const int done = HMAC(gw_tls_digest(secret_bytes), secret, (int)secret_bytes, info, at, block, NULL) != NULL;
    memcpy(to, block, done ? length : 0);
    OPENSSL_cleanse(block, sizeof block);
    return done;
}

static int gw_tls_expand_keys(const struct gw_tls_socket *s, struct gw_tls_keys *keys) {
    return gw_tls_expand(keys->secret, s->secret_bytes, "key", keys->key, gw_tls_key_bytes[s->cipher])
        && gw_tls_expand(keys->secret, s->secret_bytes, "iv", keys->iv, GW_TLS_IV_BYTES);
}

int gw_tls_renew_keys(struct gw_io_tls *t, struct gw_tls_socket *s, enum gw_tls_way way) {
    struct gw_tls_keys *keys = &s->keys[way];
    uint8_t next[sizeof keys->secret];
    if (!gw_tls_expand(keys->secret, s->secret_bytes, "traffic upd", next, s->secret_bytes)) {
        return 0;
    }
    memcpy(keys->secret, next, s->secret_bytes);
    OPENSSL_cleanse(next, sizeof next);
    keys->record = 0;
    gw_tls_forget_cipher(t, s);
    return gw_tls_expand_keys(s, keys);
}

// The key log's lines: a name, the client's random bytes, the secret, in hexadecimal.
void gw_tls_note_secret(const SSL *ssl, const char *line) {
    static const char client[] = "CLIENT_TRAFFIC_SECRET_0 ", server[] = "SERVER_TRAFFIC_SECRET_0 ";
    const int receive = strncmp(line, client, sizeof client - 1) == 0;
    if (!receive && strncmp(line, server, sizeof server - 1) != 0) {
        return;
    }
    struct gw_io_tls *t = BIO_get_data(SSL_get_rbio(ssl));
    struct gw_tls_socket *s = t->current;
    const char *hex = strrchr(line, ' ') + 1;
    size_t bytes = 0;
    struct gw_tls_keys *keys = &s->keys[receive ? GW_TLS_IN : GW_TLS_OUT];
    s->secret_bytes = OPENSSL_hexstr2buf_ex(keys->secret, sizeof keys->secret, &bytes, hex, '\0') ? (uint8_t)bytes : 0;
}

// The records that OpenSSL has written already are counted where they go by.
void gw_tls_note_record(int writing, int version, int type, const void *header, size_t length, SSL *ssl, void *unused) {
    (void)version;
    (void)length;
    (void)unused;
    if (writing && type == SSL3_RT_HEADER && *(const uint8_t *)header == SSL3_RT_APPLICATION_DATA) {
        struct gw_io_tls *t = BIO_get_data(SSL_get_rbio(ssl));
        t->step_records++;
    }
}

// RFC 5246 section 6.3; RFC 5288 section 3 and RFC 7905 section 2 for what an AEAD cipher takes of it.
static int gw_tls_derive_1_2(struct gw_tls_socket *s, const SSL_CIPHER *cipher) {
    uint8_t master[GW_TLS_MASTER_BYTES], randoms[2 * SSL3_RANDOM_SIZE], block[2 * (32 + GW_TLS_IV_BYTES)];
    char label[] = "key expansion";
    const uint32_t key_bytes = gw_tls_key_bytes[s->cipher], iv_bytes = gw_tls_salt_bytes(s);
    size_t master_bytes = SSL_SESSION_get_master_key(SSL_get_session(s->ssl), master, sizeof master);
    (void)SSL_get_server_random(s->ssl, randoms, SSL3_RANDOM_SIZE);
    (void)SSL_get_client_random(s->ssl, randoms + SSL3_RANDOM_SIZE, SSL3_RANDOM_SIZE);
    char *digest = (char *)(uintptr_t)EVP_MD_get0_name(SSL_CIPHER_get_handshake_digest(cipher));
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, strlen(digest)),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SECRET, master, master_bytes),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SEED, label, sizeof label - 1),
        OSSL_PARAM_octet_string(OSSL_KDF_PARAM_SEED, randoms, sizeof randoms),
        OSSL_PARAM_END,
    };
    EVP_KDF *prf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_PRF, NULL);
    EVP_KDF_CTX *context = prf != NULL ? EVP_KDF_CTX_new(prf) : NULL;
    const int done = context != NULL && EVP_KDF_derive(context, block, 2 * (key_bytes + iv_bytes), parameters) == 1;
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(prf);
    for (int way = GW_TLS_IN; done && way <= GW_TLS_OUT; way++) {
        memcpy(s->keys[way].key, block + (size_t)way * key_bytes, key_bytes);
        memcpy(s->keys[way].iv, block + 2 * key_bytes + (size_t)way * iv_bytes, iv_bytes);
        s->keys[way].record = 1;   // Finished was the first
    }
    OPENSSL_cleanse(master, sizeof master);
    OPENSSL_cleanse(block, sizeof block);
    return done;
}

static int gw_tls_derive_1_3(struct gw_io_tls *t, struct gw_tls_socket *s) {
    s->keys[GW_TLS_IN].record = 0;
    s->keys[GW_TLS_OUT].record = t->step_records;   // with this key: tickets
    return s->secret_bytes > 0 && gw_tls_expand_keys(s, &s->keys[GW_TLS_IN])
        && gw_tls_expand_keys(s, &s->keys[GW_TLS_OUT]);
}

static int gw_tls_find_cipher(const SSL_CIPHER *cipher) {
    switch (SSL_CIPHER_get_cipher_nid(cipher)) {
    case NID_aes_128_gcm:
        return GW_TLS_AES_128_GCM;
    case NID_aes_256_gcm:
        return GW_TLS_AES_256_GCM;
    case NID_chacha20_poly1305:
        return GW_TLS_CHACHA20_POLY1305;
    default:
        return -1;
    }
}

int gw_tls_take_over(struct gw_io_tls *t, struct gw_tls_socket *s) {
    const SSL_CIPHER *chosen = SSL_get_current_cipher(s->ssl);
    const int cipher = gw_tls_find_cipher(chosen);
    // OpenSSL reads no byte behind a record before it is asked for the next one.
    if (cipher < 0 || SSL_has_pending(s->ssl)) {
        return 0;
    }
    s->cipher = (uint8_t)cipher;
    s->is_1_3 = SSL_version(s->ssl) == TLS1_3_VERSION;
    gw_tls_forget_cipher(t, s);
    const int done = s->is_1_3 ? gw_tls_derive_1_3(t, s) : gw_tls_derive_1_2(s, chosen);
    SSL_set_shutdown(s->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);   // it is not to say anything any more
    SSL_free(s->ssl);
    s->ssl = NULL;
    ERR_clear_error();
    return done;
}

// What OpenSSL's ciphers have left below their callers: ChaCha20, on a processor without AVX-512, spills its key. The
// sanitizer would give the array a stack of its own.
__attribute__((noinline, no_sanitize("address"))) static void gw_tls_wipe_dead_stack(void) {
    uint8_t dead[GW_TLS_DEAD_STACK_BYTES];
    OPENSSL_cleanse(dead, sizeof dead);
}

void gw_tls_drop_keys(struct gw_io_tls *t, struct gw_tls_socket *s) {
    gw_tls_forget_cipher(t, s);
    OPENSSL_cleanse(s->keys, sizeof s->keys);
    gw_tls_wipe_dead_stack();
}
