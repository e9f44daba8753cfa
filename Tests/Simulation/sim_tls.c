// See the header.
#define OPENSSL_SUPPRESS_DEPRECATED   // RAND_set_rand_method: a provider of random numbers would say no more in more words
#include "sim_tls.h"

#include <openssl/rand.h>

#include "gw_tls.h"
#include "tls_client.h"

enum { LAYER_BYTES = 4 << 20, LAYER_BYTES_SMALL = 160 << 10, HANDSHAKES_SMALL = 2, RECORDS_SMALL = 12, HOARD_MAX = 512 };

// Random numbers.

static uint64_t random_state;

static int random_bytes(unsigned char *to, int length) {
    for (int at = 0; at < length; at++) {
        to[at] = (unsigned char)(test_random(&random_state) >> 32);
    }
    return 1;
}

static int random_is_ready(void) { return 1; }

void sim_tls_seed(uint64_t seed) {
    static const RAND_METHOD seeded = { .bytes = random_bytes, .pseudorand = random_bytes, .status = random_is_ready };
    random_state = seed * 0x9e3779b97f4a7c15u | 1;
    CHECK(RAND_set_rand_method(&seeded) == 1);
    // Both keys that seal tickets are of this seed, too.
    CHECK(gw_tls_rotate_ticket_keys() == 0 && gw_tls_rotate_ticket_keys() == 0);
}

// The layer.

static const struct tls_files *files_of_ed25519(void) {
    static struct tls_files files;
    if (files.directory[0] == 0) {
        files = tls_files_named(tls_files()->directory, "server");
        EVP_PKEY *key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
        tls_sign_certificate(&files, "localhost", key, NULL);
        EVP_PKEY_free(key);
    }
    return &files;
}

struct gw_io *sim_tls_layer(struct sim_io *sim, int small) {
    const struct gw_tls_config config = {
        .certificate_file = files_of_ed25519()->certificate,
        .key_file = files_of_ed25519()->key,
        .sockets_max = sim->sockets_max,
        .handshakes_max = small ? HANDSHAKES_SMALL : SIM_SOCKETS_MAX,
        .buffer_bytes_max = small ? LAYER_BYTES_SMALL : LAYER_BYTES,
        .records_max = small ? RECORDS_SMALL : 0,
    };
    struct gw_io *layer;
    CHECK(gw_io_tls_create(&sim->io, &config, &layer) == 0);
    return layer;
}

static struct gw_buf *hoard[HOARD_MAX];
static uint32_t hoard_count;

void sim_tls_give_back(struct gw_io *layer) {
    while (hoard_count > 0) {
        gw_buf_release(gw_tls(layer)->pool, hoard[--hoard_count]);
    }
}

void sim_tls_hoard(struct gw_io *layer) {
    if (hoard_count > 0) {
        sim_tls_give_back(layer);
        return;
    }
    for (uint32_t bytes = GW_TLS_RECORD_BYTES + GW_TLS_RECORD_ROOM; hoard_count < HOARD_MAX;) {
        struct gw_buf *buf = gw_buf_acquire(gw_tls(layer)->pool, bytes);
        if (buf != NULL) {
            hoard[hoard_count++] = buf;
        } else if (bytes > GW_BUF_SMALL_BYTES) {
            bytes = GW_BUF_SMALL_BYTES;
        } else {
            return;
        }
    }
}

void sim_tls_expect_nothing_held(const struct gw_io *layer) {
    const struct gw_io_tls *t = (const struct gw_io_tls *)layer;
    CHECK(gw_pool_held_bytes(t->pool) == 0 && t->in_bytes == 0);
    CHECK(t->buffers_free == layer->receive_buffers && t->handshakes == 0);
    for (int list = 0; list < GW_TLS_LISTS; list++) {
        CHECK(t->lists[list].count == 0);
    }
}

// Clients.

SSL *sim_tls_create(uint64_t *random) {
    static SSL_CTX *contexts[2];
    static const char *const ciphers[] = { "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384",
                                           "ECDHE-ECDSA-CHACHA20-POLY1305" };
    static const char *const suites[] = { "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384",
                                          "TLS_CHACHA20_POLY1305_SHA256" };
    const uint32_t is_1_3 = sim_below(random, 4) > 0, cipher = sim_below(random, 3);
    SSL_CTX **context = &contexts[is_1_3];
    if (*context == NULL) {
        *context = tls_client_context_new();
        CHECK(SSL_CTX_set_max_proto_version(*context, is_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION) == 1);
    }
    SSL *tls = SSL_new(*context);
    CHECK(tls != NULL && SSL_set_ciphersuites(tls, suites[cipher]) == 1 && SSL_set_cipher_list(tls, ciphers[cipher]) == 1);
    BIO *in = BIO_new(BIO_s_mem()), *out = BIO_new(BIO_s_mem());
    CHECK(in != NULL && out != NULL);
    BIO_set_mem_eof_return(in, -1);
    SSL_set_bio(tls, in, out);
    SSL_set_connect_state(tls);
    return tls;
}

void sim_tls_free(SSL *tls) { SSL_free(tls); }

int sim_tls_has_written(SSL *tls) { return BIO_ctrl_pending(SSL_get_wbio(tls)) == 0; }

static void tls_flush(SSL *tls, struct sim_io *sim, uint32_t wire) {
    uint8_t *data;
    const long length = BIO_get_mem_data(SSL_get_wbio(tls), (char **)&data);
    if (sim->wires[wire].client_ended) {
        (void)BIO_reset(SSL_get_wbio(tls));
    } else if (length > 0) {
        uint8_t gone[SIM_PIPE_BYTES];
        const uint32_t taken = sim_client_write(sim, wire, data, (uint32_t)length);
        for (uint32_t left = taken; left > 0;) {
            left -= (uint32_t)BIO_read(SSL_get_wbio(tls), gone, (int)(left < sizeof gone ? left : sizeof gone));
        }
    }
}

uint32_t sim_tls_write(SSL *tls, struct sim_io *sim, uint32_t wire, const uint8_t *bytes, uint32_t length,
                       uint64_t *random) {
    size_t written = 0;
    tls_flush(tls, sim, wire);
    if (!sim_tls_has_written(tls) || length == 0) {
        return 0;
    }
    ERR_clear_error();
    if (!SSL_is_init_finished(tls)) {
        (void)SSL_do_handshake(tls);
        tls_flush(tls, sim, wire);
        return 0;
    }
    if (SSL_version(tls) == TLS1_3_VERSION && sim_below(random, 16) == 0) {
        (void)SSL_key_update(tls, sim_below(random, 2) ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED);
    }
    const uint32_t most = sim_below(random, 2) ? length : 1 + sim_below(random, length);
    if (SSL_write_ex(tls, bytes, most, &written) != 1) {
        return length;   // it has been told that the connection is over
    }
    tls_flush(tls, sim, wire);
    return (uint32_t)written;
}

int32_t sim_tls_read(SSL *tls, struct sim_io *sim, uint32_t wire, uint8_t *bytes, uint32_t room) {
    uint8_t sealed[SIM_PIPE_BYTES];
    size_t taken = 0;
    if (room == 0) {
        return 0;
    }
    const int32_t some = sim_client_read(sim, wire, sealed, room);
    CHECK(some <= 0 || BIO_write(SSL_get_rbio(tls), sealed, some) == some);
    ERR_clear_error();
    const int result = SSL_read_ex(tls, bytes, room, &taken);
    const int error = result == 1 ? SSL_ERROR_NONE : SSL_get_error(tls, result);
    ERR_clear_error();
    tls_flush(tls, sim, wire);
    if (result == 1) {
        return (int32_t)taken;
    }
    return error == SSL_ERROR_WANT_READ && some >= 0 ? 0 : -1;
}

void sim_tls_end(SSL *tls, struct sim_io *sim, uint32_t wire) {
    ERR_clear_error();
    (void)SSL_shutdown(tls);
    ERR_clear_error();
    tls_flush(tls, sim, wire);
}
