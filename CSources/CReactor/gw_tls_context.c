// What a handshake needs to know: certificate and key from files, which versions and ciphers are spoken, ALPN, and the
// keys that seal session tickets.
//
// The ticket keys belong to the process, because a client that comes back may reach another reactor; the lock around
// them is taken once a handshake. Everything else belongs to the reactor that loads it.
//
// Thread: any, for the ticket keys; the reactor's for the rest.
#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "gw_tls.h"

enum { GW_TICKET_KEY_SECONDS = 6 * 3600 };

// RFC 5077 section 4's recommended construction.
struct gw_ticket_key {
    uint8_t name[16], cipher_key[32], mac_key[32];
    int64_t since_s;
    int valid;
};

static pthread_mutex_t gw_ticket_lock = PTHREAD_MUTEX_INITIALIZER;
static struct gw_ticket_key gw_ticket_keys[2];   // the present one and the one before

static int64_t gw_ticket_now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return now.tv_sec;
}

// With the lock held.
static int gw_ticket_renew(void) {
    struct gw_ticket_key key = { .since_s = gw_ticket_now_s(), .valid = 1 };
    if (RAND_bytes(key.name, sizeof key.name) != 1 || RAND_priv_bytes(key.cipher_key, sizeof key.cipher_key) != 1
        || RAND_priv_bytes(key.mac_key, sizeof key.mac_key) != 1) {
        return -EIO;
    }
    gw_ticket_keys[1] = gw_ticket_keys[0];
    gw_ticket_keys[0] = key;
    return 0;
}

int gw_tls_rotate_ticket_keys(void) {
    pthread_mutex_lock(&gw_ticket_lock);
    const int error = gw_ticket_renew();
    pthread_mutex_unlock(&gw_ticket_lock);
    return error;
}

// Copies the key to seal with (name NULL) or to open with; 0: none. old: it is not the present one.
static int gw_ticket_find(const uint8_t *name, struct gw_ticket_key *found, int *old) {
    pthread_mutex_lock(&gw_ticket_lock);
    const int64_t now_s = gw_ticket_now_s();
    if (gw_ticket_keys[0].valid && now_s - gw_ticket_keys[0].since_s >= 2 * GW_TICKET_KEY_SECONDS) {
        gw_ticket_keys[0].valid = 0;   // nobody came for so long that even the tickets of the last key have expired
    }
    int valid = gw_ticket_keys[0].valid && now_s - gw_ticket_keys[0].since_s < GW_TICKET_KEY_SECONDS;
    if (!valid) {
        valid = gw_ticket_renew() == 0;
    }
    *old = 0;
    if (valid && name != NULL && memcmp(name, gw_ticket_keys[0].name, sizeof found->name) != 0) {
        *old = 1;
        valid = gw_ticket_keys[1].valid && memcmp(name, gw_ticket_keys[1].name, sizeof found->name) == 0;
    }
    *found = gw_ticket_keys[*old];
    pthread_mutex_unlock(&gw_ticket_lock);
    return valid;
}

// See SSL_CTX_set_tlsext_ticket_key_evp_cb(3): 1 a key, 2 a key and a new ticket is due, 0 none, -1 an error.
static int gw_ticket_choose(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
                            EVP_MAC_CTX *mac, int sealing) {
    (void)ssl;
    struct gw_ticket_key key;
    int old;
    if (!gw_ticket_find(sealing ? NULL : name, &key, &old)) {
        return sealing ? -1 : 0;
    }
    if (sealing) {
        memcpy(name, key.name, sizeof key.name);
        if (RAND_bytes(iv, EVP_MAX_IV_LENGTH) != 1) {
            return -1;
        }
    }
    char digest[] = "sha256";
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_octet_string(OSSL_MAC_PARAM_KEY, key.mac_key, sizeof key.mac_key),
        OSSL_PARAM_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, sizeof digest - 1),
        OSSL_PARAM_END,
    };
    const int ready = EVP_MAC_CTX_set_params(mac, parameters) == 1
        && EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, key.cipher_key, iv, sealing) == 1;
    OPENSSL_cleanse(&key, sizeof key);
    return !ready ? -1 : old ? 2 : 1;
}

// A client that names protocols must name ours (RFC 7301 section 3.2); one that names none gets it all the same.
static int gw_alpn_choose(SSL *ssl, const unsigned char **chosen, unsigned char *chosen_bytes,
                          const unsigned char *offered, unsigned int offered_bytes, void *argument) {
    static const unsigned char ours[] = "\x08http/1.1";
    (void)ssl;
    (void)argument;
    unsigned char *match;
    if (SSL_select_next_proto(&match, chosen_bytes, ours, sizeof ours - 1, offered, offered_bytes)
        != OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *chosen = match;
    return SSL_TLSEXT_ERR_OK;
}

// A server has nobody to ask.
static int gw_no_passphrase(char *buffer, int room, int writing, void *argument) {
    (void)buffer;
    (void)room;
    (void)writing;
    (void)argument;
    return 0;
}

static int gw_tls_context_configure(SSL_CTX *context) {
    static const unsigned char name[] = "ringway";
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE
                                     | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_timeout(context, GW_TICKET_KEY_SECONDS);
    SSL_CTX_set_default_passwd_cb(context, gw_no_passphrase);
    SSL_CTX_set_alpn_select_cb(context, gw_alpn_choose, NULL);
    SSL_CTX_set_keylog_callback(context, gw_tls_note_secret);
    SSL_CTX_set_msg_callback(context, gw_tls_note_record);
    return SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION) == 1
        // Those that gw_tls_record.c knows.
        && SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1
        && SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:"
                                             "TLS_CHACHA20_POLY1305_SHA256") == 1
        && SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384") == 1
        && SSL_CTX_set_num_tickets(context, 1) == 1
        && SSL_CTX_set_session_id_context(context, name, sizeof name - 1) == 1
        && SSL_CTX_set_tlsext_ticket_key_evp_cb(context, gw_ticket_choose) == 1;
}

static int gw_tls_context_read(SSL_CTX *context, const char *certificate_file, const char *key_file) {
    if (SSL_CTX_use_certificate_chain_file(context, certificate_file) != 1) {
        return GW_TLS_ECERTIFICATE;
    }
    if (SSL_CTX_use_PrivateKey_file(context, key_file, SSL_FILETYPE_PEM) != 1) {
        // It compares the two on its way.
        const int mismatch = ERR_GET_LIB(ERR_peek_last_error()) == ERR_LIB_X509;
        return mismatch ? GW_TLS_EMISMATCH : GW_TLS_EKEY;
    }
    return SSL_CTX_check_private_key(context) == 1 ? 0 : GW_TLS_EMISMATCH;
}

int gw_tls_context_load(const char *certificate_file, const char *key_file, SSL_CTX **context) {
    *context = NULL;
    ERR_clear_error();
    SSL_CTX *loaded = SSL_CTX_new(TLS_server_method());
    if (loaded == NULL || !gw_tls_context_configure(loaded)) {
        SSL_CTX_free(loaded);
        ERR_clear_error();
        return -ENOMEM;
    }
    const int error = gw_tls_context_read(loaded, certificate_file, key_file);
    ERR_clear_error();
    if (error != 0) {
        SSL_CTX_free(loaded);
        return error;
    }
    *context = loaded;
    return 0;
}
