// Kernel TLS, where it is wanted and the kernel has it: with a connection's first send that finds nothing else on its way the
// kernel gets the key and the record's number, and seals what is sent from then on. What is received stays this layer's.
//
// There is no way back. So the kernel gets only what it can carry to the end: TLS 1.2, which has one key, and 1.3 where it takes
// another key for the same socket (since Linux 6.14), because a peer may ask for one at any time. Of a record it may hold back a
// part that the socket's buffer had no room for, and tells nobody. Therefore such a socket is not shut down: the peer gets
// close_notify, behind everything else, and is waited for.
//
// A record of our own, a KeyUpdate or an alert, waits for the send that is under way, and a send waits for the record.
//
// Owner and thread: the reactor's, as gw_tls.h says; gw_tls_kernel_probe: any.
#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gw_tls.h"

union gw_tls_crypto {
    struct tls_crypto_info info;
    struct tls12_crypto_info_aes_gcm_128 aes_128;
    struct tls12_crypto_info_aes_gcm_256 aes_256;
    struct tls12_crypto_info_chacha20_poly1305 chacha20;
};

static uint32_t gw_tls_suite_bit(int is_1_3, enum gw_tls_cipher cipher) {
    return 1u << ((uint32_t)(is_1_3 ? GW_TLS_CIPHERS : 0) + (uint32_t)cipher);
}

// What the kernel is told of a key, and how many bytes that is. The salt and what the kernel calls iv are one row of bytes: the
// nonce's start or, with AES-GCM of 1.2, the salt and the part that stands in the next record.
static uint32_t gw_tls_describe(int is_1_3, enum gw_tls_cipher cipher, const struct gw_tls_keys *keys,
                                union gw_tls_crypto *crypto) {
    uint8_t iv[GW_TLS_IV_BYTES], number[GW_TLS_EXPLICIT_BYTES];
    gw_tls_put_number(number, keys->record);
    memcpy(iv, keys->iv, sizeof iv);
    if (!is_1_3 && cipher != GW_TLS_CHACHA20_POLY1305) {
        memcpy(iv + sizeof iv - sizeof number, number, sizeof number);
    }
    memset(crypto, 0, sizeof *crypto);
    crypto->info.version = is_1_3 ? TLS_1_3_VERSION : TLS_1_2_VERSION;
    switch (cipher) {
    case GW_TLS_AES_128_GCM:
        crypto->info.cipher_type = TLS_CIPHER_AES_GCM_128;
        memcpy(crypto->aes_128.salt, iv, sizeof crypto->aes_128.salt);
        memcpy(crypto->aes_128.iv, iv + sizeof crypto->aes_128.salt, sizeof crypto->aes_128.iv);
        memcpy(crypto->aes_128.key, keys->key, sizeof crypto->aes_128.key);
        memcpy(crypto->aes_128.rec_seq, number, sizeof number);
        return sizeof crypto->aes_128;
    case GW_TLS_AES_256_GCM:
        crypto->info.cipher_type = TLS_CIPHER_AES_GCM_256;
        memcpy(crypto->aes_256.salt, iv, sizeof crypto->aes_256.salt);
        memcpy(crypto->aes_256.iv, iv + sizeof crypto->aes_256.salt, sizeof crypto->aes_256.iv);
        memcpy(crypto->aes_256.key, keys->key, sizeof crypto->aes_256.key);
        memcpy(crypto->aes_256.rec_seq, number, sizeof number);
        return sizeof crypto->aes_256;
    default:
        crypto->info.cipher_type = TLS_CIPHER_CHACHA20_POLY1305;
        memcpy(crypto->chacha20.iv, iv, sizeof crypto->chacha20.iv);
        memcpy(crypto->chacha20.key, keys->key, sizeof crypto->chacha20.key);
        memcpy(crypto->chacha20.rec_seq, number, sizeof number);
        return sizeof crypto->chacha20;
    }
}

// What the kernel can.

static int gw_tls_listen_on_loopback(struct sockaddr_in *address) {
    socklen_t length = sizeof *address;
    *address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && (bind(fd, (struct sockaddr *)address, sizeof *address) != 0 || listen(fd, 2 * GW_TLS_CIPHERS) != 0
                    || getsockname(fd, (struct sockaddr *)address, &length) != 0)) {
        close(fd);
        return -1;
    }
    return fd;
}

// On a connection of its own, which nothing is sent on.
static int gw_tls_kernel_has(const struct sockaddr_in *address, int is_1_3, enum gw_tls_cipher cipher) {
    const struct gw_tls_keys keys = { .record = 0 };
    union gw_tls_crypto crypto;
    const socklen_t bytes = gw_tls_describe(is_1_3, cipher, &keys, &crypto);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int has = fd >= 0 && connect(fd, (const struct sockaddr *)address, sizeof *address) == 0
        && setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof "tls" - 1) == 0
        && setsockopt(fd, SOL_TLS, TLS_TX, &crypto, bytes) == 0
        && (!is_1_3 || setsockopt(fd, SOL_TLS, TLS_TX, &crypto, bytes) == 0);
    if (fd >= 0) {
        close(fd);
    }
    return has;
}

uint32_t gw_tls_kernel_probe(void) {
    struct sockaddr_in address;
    uint32_t suites = 0;
    const int fd = gw_tls_listen_on_loopback(&address);
    for (int suite = 0; fd >= 0 && suite < 2 * GW_TLS_CIPHERS; suite++) {
        const int is_1_3 = suite >= GW_TLS_CIPHERS;
        const enum gw_tls_cipher cipher = (enum gw_tls_cipher)(suite % GW_TLS_CIPHERS);
        suites |= gw_tls_kernel_has(&address, is_1_3, cipher) ? gw_tls_suite_bit(is_1_3, cipher) : 0;
    }
    if (fd >= 0) {
        close(fd);
    }
    return suites;
}

// A connection.

static int gw_tls_give_key(struct gw_io_tls *t, struct gw_tls_socket *s) {
    union gw_tls_crypto crypto;
    const uint32_t bytes = gw_tls_describe(s->is_1_3, (enum gw_tls_cipher)s->cipher, &s->keys[GW_TLS_OUT], &crypto);
    const struct gw_io_option key = { .level = SOL_TLS, .name = TLS_TX, .value = &crypto, .bytes = bytes };
    const int result = gw_io_set_option(t->inner, gw_tls_number(t, s), &key);
    OPENSSL_cleanse(&crypto, sizeof crypto);
    return result;
}

int gw_tls_kernel_takes(struct gw_io_tls *t, struct gw_tls_socket *s) {
    static const struct gw_io_option tls = { .level = IPPROTO_TCP, .name = TCP_ULP, .value = "tls", .bytes = 3 };
    if (s->flags & (GW_TLS_OFFERED | GW_TLS_INNER_SENDING | GW_TLS_BROKEN) || !(s->flags & GW_TLS_SECURE)
        || !(t->kernel_suites & gw_tls_suite_bit(s->is_1_3, (enum gw_tls_cipher)s->cipher)) || s->out_bytes > 0) {
        return (s->flags & GW_TLS_KERNEL) != 0;
    }
    s->flags |= GW_TLS_OFFERED;
    if (gw_io_set_option(t->inner, gw_tls_number(t, s), &tls) != 0) {
        return 0;
    }
    switch (gw_tls_give_key(t, s)) {
    case 0:
        s->flags |= GW_TLS_KERNEL;
        return 1;
    case -EOVERFLOW:
        s->flags |= GW_TLS_BROKEN;   // nobody knows who is to seal
        return 0;
    default:
        return 0;
    }
}

void gw_tls_kernel_send(struct gw_io_tls *t, struct gw_tls_socket *s, const struct iovec *iov, unsigned count) {
    if (gw_tls_key_is_used_up(t, s, GW_TLS_OUT)) {
        gw_tls_report(t, s, -EKEYEXPIRED);
        return;
    }
    if (s->is_1_3 && s->keys[GW_TLS_OUT].record >= t->records_max) {
        (void)gw_tls_say_key_update(t, s);
    }
    gw_tls_kernel_flush(t, s);
    if (s->flags & GW_TLS_INNER_SENDING) {
        s->unsent = iov[0];
        s->flags |= GW_TLS_HELD;
        return;
    }
    s->flags |= GW_TLS_INNER_SENDING;
    gw_io_send(t->inner, gw_tls_number(t, s), iov, count);
}

void gw_tls_kernel_flush(struct gw_io_tls *t, struct gw_tls_socket *s) {
    const uint32_t socket = gw_tls_number(t, s);
    if (s->flags & (GW_TLS_INNER_SENDING | GW_TLS_CLOSING)) {
        return;
    }
    if (s->flags & GW_TLS_UPDATE_DUE) {
        static const struct iovec update = { .iov_base = (void *)(uintptr_t)gw_tls_key_update,
                                             .iov_len = GW_TLS_KEY_UPDATE_BYTES };
        s->flags = (s->flags & ~(uint32_t)GW_TLS_UPDATE_DUE) | GW_TLS_UPDATING | GW_TLS_INNER_SENDING;
        gw_io_send_record(t->inner, socket, GW_TLS_HANDSHAKE, &update);
    } else if (s->flags & GW_TLS_ALERT_DUE) {
        const struct iovec alert = { .iov_base = s->alert, .iov_len = sizeof s->alert };
        s->flags = (s->flags & ~(uint32_t)GW_TLS_ALERT_DUE) | GW_TLS_ALERTING | GW_TLS_INNER_SENDING;
        gw_io_send_record(t->inner, socket, GW_TLS_ALERT, &alert);
    }
}

int32_t gw_tls_kernel_said(struct gw_io_tls *t, struct gw_tls_socket *s, int32_t result) {
    const int updated = (s->flags & GW_TLS_UPDATING) != 0;
    s->flags &= ~(uint32_t)(GW_TLS_UPDATING | GW_TLS_ALERTING);
    const int whole = result == (int32_t)(updated ? GW_TLS_KEY_UPDATE_BYTES : sizeof s->alert);
    if (!whole || (updated && (!gw_tls_renew_keys(t, s, GW_TLS_OUT) || gw_tls_give_key(t, s) != 0))) {
        s->flags = (s->flags & ~(uint32_t)GW_TLS_HELD) | GW_TLS_BROKEN;
        s->send_result = result < 0 ? result : -EPROTO;
        return s->send_result;
    }
    if (s->flags & GW_TLS_HELD) {
        const struct iovec piece = s->unsent;
        s->flags &= ~(uint32_t)GW_TLS_HELD;
        gw_tls_kernel_send(t, s, &piece, 1);
    } else {
        gw_tls_kernel_flush(t, s);
    }
    return 0;
}
