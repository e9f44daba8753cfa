// Sealing left to the kernel. First the layer over a backend that seals as the kernel would, with what it was told of the keys:
// it runs on any kernel. Then over sockets: where the kernel has TLS it seals, and where it has not, or not all that a suite
// needs, nothing is different from before. Tests/Kernels runs this, and all tests of the gateway, on kernels that have it.
#include <linux/tls.h>
#include <netinet/tcp.h>

#include "gateway_client.h"
#include "gw_reactor.h"
#include "tls_suites.h"

enum { ALL_SUITES = (1 << SUITES) - 1 };

// What the backend was told, and does as the kernel would.
static struct {
    int has_tls, keys;               // options that were set
    int refuses, loses;              // the key; the answer to it
    union {
        struct tls_crypto_info info;
        struct tls12_crypto_info_aes_gcm_128 aes_128;
        struct tls12_crypto_info_aes_gcm_256 aes_256;
        struct tls12_crypto_info_chacha20_poly1305 chacha20;
    } crypto;
    struct wire_way way;
} kernel;

static void kernel_note_key(const uint8_t *key, size_t key_bytes, const uint8_t *salt, size_t salt_bytes, const uint8_t *iv,
                            const uint8_t *number) {
    memcpy(kernel.way.key, key, key_bytes);
    memcpy(kernel.way.iv, salt, salt_bytes);   // none, of ChaCha20
    memcpy(kernel.way.iv + salt_bytes, iv, sizeof kernel.way.iv - salt_bytes);
    kernel.way.record = 0;
    for (int i = 0; i < 8; i++) {
        kernel.way.record = kernel.way.record << 8 | number[i];
    }
}

static int kernel_set_option(struct gw_io *io, uint32_t socket, const struct gw_io_option *option) {
    (void)io;
    CHECK(socket == 0);
    if (option->level == IPPROTO_TCP) {
        CHECK(option->bytes == 3 && memcmp(option->value, "tls", 3) == 0 && !kernel.has_tls);
        kernel.has_tls = 1;
        return 0;
    }
    CHECK(kernel.has_tls && option->name == TLS_TX && option->bytes <= sizeof kernel.crypto);
    memcpy(&kernel.crypto, option->value, option->bytes);
    if (kernel.refuses) {
        return -EINVAL;
    }
    kernel.keys++;
    switch (kernel.crypto.info.cipher_type) {
    case TLS_CIPHER_AES_GCM_128:
        CHECK(option->bytes == sizeof kernel.crypto.aes_128);
        kernel_note_key(kernel.crypto.aes_128.key, 16, kernel.crypto.aes_128.salt, 4, kernel.crypto.aes_128.iv,
                        kernel.crypto.aes_128.rec_seq);
        break;
    case TLS_CIPHER_AES_GCM_256:
        CHECK(option->bytes == sizeof kernel.crypto.aes_256);
        kernel_note_key(kernel.crypto.aes_256.key, 32, kernel.crypto.aes_256.salt, 4, kernel.crypto.aes_256.iv,
                        kernel.crypto.aes_256.rec_seq);
        break;
    default:
        CHECK(option->bytes == sizeof kernel.crypto.chacha20);
        kernel_note_key(kernel.crypto.chacha20.key, 32, kernel.crypto.chacha20.iv, 0, kernel.crypto.chacha20.iv,
                        kernel.crypto.chacha20.rec_seq);
    }
    return kernel.loses ? -EOVERFLOW : 0;
}

// The backend's send: what the kernel makes of it.
static void kernel_send_typed(struct gw_io *io, uint32_t socket, uint8_t type, const struct iovec *iov) {
    struct wire *w = (struct wire *)io;
    struct iovec sealed = { .iov_base = record };
    const struct wire_way peers = w->out;
    w->out = kernel.way;
    sealed.iov_len = wire_seal(w, type, iov->iov_base, (uint32_t)iov->iov_len, 0, record);
    kernel.way = w->out;
    w->out = peers;
    wire_send(io, socket, &sealed, 1);
    w->events[w->count - 1].result = (int32_t)iov->iov_len;
}

static void kernel_send(struct gw_io *io, uint32_t socket, const struct iovec *iov, unsigned count) {
    if (kernel.keys == 0) {
        wire_send(io, socket, iov, count);
    } else {
        CHECK(count == 1);
        kernel_send_typed(io, socket, GW_TLS_DATA, iov);
    }
}

static struct wire *kernel_secure(const struct suite *suite, uint64_t records_max) {
    static struct gw_io_ops ops;
    struct wire *w = wire_new(records_max);
    ops = wire_ops;
    ops.set_option = kernel_set_option;
    ops.send_record = kernel_send_typed;
    ops.send = kernel_send;
    w->io.ops = &ops;
    memset(&kernel, 0, sizeof kernel);
    gw_tls(w->layer)->kernel_suites = ALL_SUITES;
    wire_secure(w, suite->is_1_3, suite->cipher);
    return w;
}

static void send_layer(struct wire *w, const char *text) {
    const struct iovec piece = { .iov_base = (void *)(uintptr_t)text, .iov_len = strlen(text) };
    gw_io_send(w->layer, 0, &piece, 1);
}

static void expect_record(struct wire *w, const char *row, uint8_t type, const void *bytes, size_t length) {
    uint8_t seen = 0;
    CHECK_ROW(row, wire_hear(w, &seen, content) == (int)length);
    CHECK_ROW(row, seen == type && memcmp(content, bytes, length) == 0);
}

static void expect_nothing_more(struct wire *w, const char *row) {
    uint8_t type;
    CHECK_ROW(row, wire_hear(w, &type, content) == WIRE_NONE);
}

static void kernel__gets_the_key_with_the_next_records_number(void) {
    for (size_t i = 0; i < SUITES; i++) {
        const char *row = suites[i].name;
        struct wire *w = kernel_secure(&suites[i], 0);
        // One record is ours, because the kernel is not asked while it is on its way.
        gw_tls(w->layer)->kernel_suites = 0;
        send_layer(w, "ours");
        wire_turn(w);
        expect_record(w, row, GW_TLS_DATA, "ours", 4);
        gw_tls(w->layer)->kernel_suites = ALL_SUITES;
        for (int n = 0; n < 3; n++) {
            send_layer(w, "the kernel's");
            wire_turn(w);
            CHECK_ROW(row, w->send_result == 12 && kernel.has_tls && kernel.keys == 1);
            expect_record(w, row, GW_TLS_DATA, "the kernel's", 12);
        }
        wire_say(w, GW_TLS_DATA, "heard", 5);
        expect_heard(w, "heard");
        gw_io_shutdown(w->layer, 0);
        wire_turn(w);
        expect_record(w, row, GW_TLS_ALERT, close_notify, sizeof close_notify);
        CHECK_ROW(row, !w->shut);
        wire_close(w);
        expect_nothing_more(w, row);
        wire_free(w);
    }
}

static void kernel__that_refuses_a_key_leaves_everything_as_it_was(void) {
    for (size_t i = 0; i < SUITES; i++) {
        struct wire *w = kernel_secure(&suites[i], 0);
        kernel.refuses = 1;
        for (int n = 0; n < 3; n++) {
            send_layer(w, "ours");
            wire_turn(w);
            expect_record(w, suites[i].name, GW_TLS_DATA, "ours", 4);
        }
        CHECK_ROW(suites[i].name, kernel.has_tls && kernel.keys == 0);
        gw_io_shutdown(w->layer, 0);
        wire_turn(w);
        CHECK_ROW(suites[i].name, w->shut);
        expect_record(w, suites[i].name, GW_TLS_ALERT, close_notify, sizeof close_notify);
        done(w);
    }
}

// Nobody can say then whether plaintext would be sealed once, twice or not at all.
static void kernel__whose_answer_is_lost_ends_the_connection(void) {
    struct wire *w = kernel_secure(&suites[0], 0);
    kernel.loses = 1;
    send_layer(w, "nothing");
    wire_turn(w);
    CHECK(w->send_result == -EPROTO && w->sent_bytes == 0);
    wire_close(w);
    CHECK(w->sent_bytes == 0);
    wire_free(w);
}

static void key_update__waits_for_the_send_under_way_and_the_next_send_for_it(void) {
    for (size_t i = 0; i < SUITES; i++) {
        const char *row = suites[i].name;
        if (!suites[i].is_1_3) {
            continue;
        }
        struct wire *w = kernel_secure(&suites[i], 0);
        for (int n = 0; n < 4; n++) {
            // Comes while the send is on its way; the next send comes while the answer is.
            uint8_t *asks = malloc(WIRE_RECORD_BYTES);
            CHECK(asks != NULL);
            const uint32_t length = wire_seal(w, GW_TLS_HANDSHAKE, update_wanted, sizeof update_wanted, 0, asks);
            wire_push(w, (struct gw_io_event){ .kind = GW_IO_RECEIVED, .data = asks, .bytes = length });
            send_layer(w, "before");
            struct gw_io_event events[2];
            CHECK_ROW(row, gw_io_turn(w->layer, 0, events, 2) == 1 && events[0].kind == GW_IO_SENT);
            send_layer(w, "behind");
            wire_turn(w);
            free(asks);
            CHECK_ROW(row, w->send_result == 6 && kernel.keys == n + 2 && !w->ended);
            wire_renew(w, &w->out);
            expect_record(w, row, GW_TLS_DATA, "before", 6);
            expect_record(w, row, GW_TLS_HANDSHAKE, key_update, sizeof key_update);
            wire_renew(w, &w->in);
            expect_record(w, row, GW_TLS_DATA, "behind", 6);
        }
        wire_close(w);
        expect_record(w, row, GW_TLS_ALERT, close_notify, sizeof close_notify);
        wire_free(w);
    }
}

static void key__has_its_number_of_records(void) {
    enum { RECORDS_MAX = 3, MESSAGES = 10 };
    for (size_t i = 0; i < SUITES; i++) {
        const char *row = suites[i].name;
        const int limited = !suites[i].is_1_3 && suites[i].cipher != GW_TLS_CHACHA20_POLY1305;
        struct wire *w = kernel_secure(&suites[i], RECORDS_MAX);
        int sent = 0;
        for (int n = 0; n < MESSAGES; n++) {
            send_layer(w, "text");
            wire_turn(w);
            sent += w->send_result == 4;
            CHECK_ROW(row, w->send_result == 4 || (limited && w->send_result == -EKEYEXPIRED));
            if (suites[i].is_1_3 && n > 0 && n % RECORDS_MAX == 0) {
                expect_record(w, row, GW_TLS_HANDSHAKE, key_update, sizeof key_update);
                wire_renew(w, &w->in);
            }
            if (w->send_result == 4) {
                expect_record(w, row, GW_TLS_DATA, "text", 4);
            }
        }
        CHECK_ROW(row, sent == (limited ? RECORDS_MAX - 1 : MESSAGES));
        wire_close(w);
        wire_free(w);
    }
}

static void alert__is_the_last_thing_said(void) {
    struct wire *w = kernel_secure(&suites[0], 0);
    send_layer(w, "text");
    wire_turn(w);
    expect_record(w, suites[0].name, GW_TLS_DATA, "text", 4);
    wire_say(w, GW_TLS_HANDSHAKE, "no message", 10);
    expect_refused(w, suites[0].name, GW_TLS_UNEXPECTED_MESSAGE);
}

// Over sockets.

static const char *const names[SUITES] = {
    "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305",
};

static int kernel_seals(const struct gw_io_tls *t, const struct suite *suite) {
    return t->kernel_suites >> ((suite->is_1_3 ? GW_TLS_CIPHERS : 0) + (int)suite->cipher) & 1;
}

static int client_of_suite(struct world *w, size_t i, SSL_CTX **context) {
    const int version = suites[i].is_1_3 ? TLS1_3_VERSION : TLS1_2_VERSION;
    *context = tls_client_context_new();
    CHECK(SSL_CTX_set_min_proto_version(*context, version) == 1 && SSL_CTX_set_max_proto_version(*context, version) == 1);
    CHECK((suites[i].is_1_3 ? SSL_CTX_set_ciphersuites : SSL_CTX_set_cipher_list)(*context, names[i]) == 1);
    SSL_CTX *before = tls_client_context;
    tls_client_context = *context;
    const int fd = client_connect(w);
    client_upgrade(w, fd);
    tls_client_context = before;
    return fd;
}

static void world_open_for_kernel(struct world *w) {
    struct gw_config config;
    gw_config_init(&config);
    config.connections_max = 8;
    config_secure(&config);
    config.tls_kernel = 1;
    world_open(w, &config);
    w->echo = 1;
}

static int is_offered_by_kernel(void) {
    char offered[256] = "";
    FILE *file = fopen("/proc/sys/net/ipv4/tcp_available_ulp", "r");
    CHECK(file != NULL);
    const int has = fgets(offered, sizeof offered, file) != NULL && strstr(offered, "tls") != NULL;
    CHECK(fclose(file) == 0);
    return has;
}

// Messages of all sizes there and back, while the peer changes its keys and wants ours changed; then both ends are signed.
static void kernel__or_we_seal_what_openssl_reads(void) {
    static uint8_t sent[300000], back[300000];
    struct world w;
    world_open_for_kernel(&w);
    const struct gw_io_tls *t = gw_tls(w.reactor->io);
    CHECK((gw_io_tls_kernel_versions(w.reactor->io) & GW_TLS_KERNEL_1_2) != 0 ? is_offered_by_kernel() : 1);
    CHECK(is_offered_by_kernel() || gw_io_tls_kernel_versions(w.reactor->io) == 0);
    for (size_t i = 0; i < SUITES; i++) {
        SSL_CTX *context;
        const int fd = client_of_suite(&w, i, &context);
        for (size_t length = 1; length < sizeof sent; length = length * 3 + 1) {
            memset(sent, (int)('a' + length % 26), length);
            client_send_frame(&w, fd, 0x82, sent, length);
            CHECK_ROW(names[i], client_read_frame(&w, fd, back, sizeof back).length == length);
            CHECK_ROW(names[i], memcmp(sent, back, length) == 0);
            if (suites[i].is_1_3) {
                CHECK(SSL_key_update(tls_client_of(fd), length % 2 ? SSL_KEY_UPDATE_REQUESTED
                                                                   : SSL_KEY_UPDATE_NOT_REQUESTED) == 1);
            }
        }
        int sealed = 0;
        for (uint32_t socket = 0; socket < t->sockets_max; socket++) {
            sealed += (t->sockets[socket].flags & GW_TLS_KERNEL) != 0;
        }
        CHECK_ROW(names[i], sealed == kernel_seals(t, &suites[i]));
        client_send_close(&w, fd, 1000);
        CHECK_ROW(names[i], client_read_close(&w, fd) == 1000);
        CHECK_ROW(names[i], client_is_ended(&w, fd, WORLD_PATIENCE_MS));
        CHECK_ROW(names[i], SSL_get_shutdown(tls_client_of(fd)) & SSL_RECEIVED_SHUTDOWN);
        close(fd);
        SSL_CTX_free(context);
        while (world_stats(&w).connections > 0) {
            world_turn(&w, 1);
        }
        printf("# %s: sealed by %s\n", suites[i].name, sealed ? "the kernel" : "us");
    }
    world_close(&w);
}

// A peer that reads nothing until everything was sent and the end signed gets all of it.
static void end__comes_behind_what_a_slow_peer_has_not_taken(void) {
    enum { MESSAGES = 40, BYTES = 100000 };
    static uint8_t sent[BYTES], back[BYTES];
    struct world w;
    world_open_for_kernel(&w);
    for (size_t i = 0; i < SUITES; i++) {
        SSL_CTX *context;
        const int fd = client_of_suite(&w, i, &context);
        const gw_conn_id id = world_await(&w, GW_EVENT_OPENED, i)->conn;
        int queued = 0;
        for (; queued < MESSAGES; queued++) {
            memset(sent, 'a' + queued % 26, sizeof sent);
            if (gw_conn_send(w.reactor, id, GW_BINARY, sent, sizeof sent) != 0) {
                break;
            }
            world_turn(&w, 0);
        }
        CHECK_ROW(names[i], gw_conn_close(w.reactor, id, 1000, NULL) == 0);
        world_turn_for(&w, 50);
        for (int n = 0; n < queued; n++) {
            CHECK_ROW(names[i], client_read_frame(&w, fd, back, sizeof back).length == sizeof back);
            CHECK_ROW(names[i], back[0] == 'a' + n % 26 && back[BYTES - 1] == back[0]);
        }
        CHECK_ROW(names[i], queued > 0 && client_read_close(&w, fd) == 1000);
        client_send_close(&w, fd, 1000);
        CHECK_ROW(names[i], client_is_ended(&w, fd, WORLD_PATIENCE_MS));
        CHECK_ROW(names[i], SSL_get_shutdown(tls_client_of(fd)) & SSL_RECEIVED_SHUTDOWN);
        close(fd);
        SSL_CTX_free(context);
    }
    world_close(&w);
}

int main(void) {
    RUN(kernel__gets_the_key_with_the_next_records_number);
    RUN(kernel__that_refuses_a_key_leaves_everything_as_it_was);
    RUN(kernel__whose_answer_is_lost_ends_the_connection);
    RUN(key_update__waits_for_the_send_under_way_and_the_next_send_for_it);
    RUN(key__has_its_number_of_records);
    RUN(alert__is_the_last_thing_said);
    RUN(kernel__or_we_seal_what_openssl_reads);
    RUN(end__comes_behind_what_a_slow_peer_has_not_taken);
    return 0;
}
