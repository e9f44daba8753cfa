// The TLS layer: what is negotiated, what is refused, and that none of a peer's misdeeds costs more than is bounded.
// That the gateway above behaves the same over it is shown by its own tests, which run with TEST_IO=tls as well.
#include "gateway_client.h"
#include "gw_io_tls.h"

static struct gw_config config_tls(void) {
    struct gw_config config;
    gw_config_init(&config);
    config.connections_max = 64;
    config.receive_buffers = 16;
    config_secure(&config);
    return config;
}

static SSL *begin(struct world *w, SSL_CTX *context, int *fd) {
    SSL_CTX *before = tls_client_context;
    *fd = client_connect(w);
    tls_client_context = context;
    SSL *ssl = tls_client_of(*fd);
    tls_client_context = before;
    return ssl;
}

// 1: done; 0: refused.
static int shake_hands(struct world *w, SSL *ssl) {
    const uint64_t end = world_now_ms() + WORLD_PATIENCE_MS;
    for (;;) {
        const int result = SSL_do_handshake(ssl);
        if (result == 1) {
            return 1;
        }
        const int error = SSL_get_error(ssl, result);
        if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
            return 0;
        }
        CHECK(world_now_ms() < end);
        world_turn(w, 1);
    }
}

static int last_alert(void) {
    const int reason = ERR_GET_REASON(ERR_peek_last_error());
    ERR_clear_error();
    return reason - SSL_AD_REASON_OFFSET;
}

static void expect_echo(struct world *w, int fd) {
    uint8_t payload[16];
    client_send_frame(w, fd, 0x81, "over TLS", 8);
    const struct frame frame = client_read_frame(w, fd, payload, sizeof payload);
    CHECK(frame.length == 8 && memcmp(payload, "over TLS", 8) == 0);
}

static void version__is_1_2_or_1_3(void) {
    const struct { int version; int works; } cases[] = {
        { TLS1_3_VERSION, 1 }, { TLS1_2_VERSION, 1 }, { TLS1_1_VERSION, 0 }, { TLS1_VERSION, 0 },
    };
    const struct gw_config config = config_tls();
    struct world w;
    world_open(&w, &config);
    w.echo = 1;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        SSL_CTX *context = tls_client_context_new();
        SSL_CTX_set_security_level(context, 0);
        CHECK(SSL_CTX_set_min_proto_version(context, cases[i].version) == 1);
        CHECK(SSL_CTX_set_max_proto_version(context, cases[i].version) == 1);
        int fd;
        SSL *ssl = begin(&w, context, &fd);
        CHECK(shake_hands(&w, ssl) == cases[i].works);
        if (cases[i].works) {
            CHECK(SSL_version(ssl) == cases[i].version);
            client_upgrade(&w, fd);
            expect_echo(&w, fd);
        } else {
            CHECK(last_alert() == SSL_AD_PROTOCOL_VERSION);
        }
        close(fd);
        SSL_CTX_free(context);
    }
    world_expect_empty(&w);
    world_close(&w);
}

static void alpn__is_http_1_1_or_refused(void) {
    const struct { const char *offer; unsigned length; int works; } cases[] = {
        { "\x08http/1.1", 9, 1 }, { "\x02h2\x08http/1.1", 12, 1 }, { "\x02h2", 3, 0 },
    };
    const struct gw_config config = config_tls();
    struct world w;
    world_open(&w, &config);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int fd;
        SSL *ssl = begin(&w, tls_client_context, &fd);
        CHECK(SSL_set_alpn_protos(ssl, (const uint8_t *)cases[i].offer, cases[i].length) == 0);
        CHECK(shake_hands(&w, ssl) == cases[i].works);
        const uint8_t *chosen = NULL;
        unsigned length = 0;
        SSL_get0_alpn_selected(ssl, &chosen, &length);
        CHECK(cases[i].works ? length == 8 && memcmp(chosen, "http/1.1", 8) == 0
                             : last_alert() == SSL_AD_NO_APPLICATION_PROTOCOL);
        close(fd);
    }
    world_expect_empty(&w);
    world_close(&w);
}

// Messages of all sizes there and back, in each cipher and version, while either side changes its keys.
static void record__of_each_cipher_is_read_by_openssl_and_the_other_way_round(void) {
    static const struct { int version; const char *cipher; } cases[] = {
        { TLS1_3_VERSION, "TLS_AES_128_GCM_SHA256" },       { TLS1_3_VERSION, "TLS_AES_256_GCM_SHA384" },
        { TLS1_3_VERSION, "TLS_CHACHA20_POLY1305_SHA256" }, { TLS1_2_VERSION, "ECDHE-ECDSA-AES128-GCM-SHA256" },
        { TLS1_2_VERSION, "ECDHE-ECDSA-AES256-GCM-SHA384" }, { TLS1_2_VERSION, "ECDHE-ECDSA-CHACHA20-POLY1305" },
    };
    static uint8_t sent[70000], back[70000];
    const struct gw_config config = config_tls();
    struct world w;
    world_open(&w, &config);
    w.echo = 1;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        SSL_CTX *context = tls_client_context_new();
        CHECK(SSL_CTX_set_max_proto_version(context, cases[i].version) == 1);
        CHECK(cases[i].version == TLS1_3_VERSION ? SSL_CTX_set_ciphersuites(context, cases[i].cipher)
                                                 : SSL_CTX_set_cipher_list(context, cases[i].cipher));
        int fd;
        SSL *ssl = begin(&w, context, &fd);
        CHECK_ROW(cases[i].cipher, shake_hands(&w, ssl));
        client_upgrade(&w, fd);
        for (size_t length = 1; length < sizeof sent; length = length * 3 + 1) {
            memset(sent, (int)('a' + length % 26), length);
            client_send_frame(&w, fd, 0x82, sent, length);
            CHECK_ROW(cases[i].cipher, client_read_frame(&w, fd, back, sizeof back).length == length);
            CHECK_ROW(cases[i].cipher, memcmp(sent, back, length) == 0);
            if (cases[i].version == TLS1_3_VERSION) {
                CHECK(SSL_key_update(ssl, length % 2 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED) == 1);
            }
        }
        close(fd);
        SSL_CTX_free(context);
    }
    world_expect_empty(&w);
    world_close(&w);
}

static SSL_SESSION *session_seen;

// Connects with the session seen last; whether the server took it. Leaves a newer one.
static int resumes(struct world *w, SSL_CTX *context) {
    int fd;
    SSL *ssl = begin(w, context, &fd);
    CHECK(session_seen == NULL || SSL_set_session(ssl, session_seen) == 1);
    CHECK(shake_hands(w, ssl));
    const int reused = SSL_session_reused(ssl);
    client_upgrade(w, fd);
    expect_echo(w, fd);   // a ticket of 1.3 comes behind the handshake
    SSL_SESSION_free(session_seen);
    session_seen = SSL_get1_session(ssl);
    SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);   // or OpenSSL forgets the session
    close(fd);
    return reused;
}

static void session__is_resumed_by_any_reactor_until_two_keys_later(void) {
    const struct gw_config config = config_tls();
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        SSL_CTX *context = tls_client_context_new();
        CHECK(SSL_CTX_set_max_proto_version(context, version) == 1);
        struct world one, other;
        world_open(&one, &config);
        world_open(&other, &config);
        one.echo = other.echo = 1;
        CHECK(!resumes(&one, context));
        CHECK(resumes(&other, context));
        CHECK(gw_tls_rotate_ticket_keys() == 0);
        CHECK(resumes(&one, context));
        CHECK(gw_tls_rotate_ticket_keys() == 0);
        CHECK(resumes(&one, context));   // the last one came with a new ticket
        CHECK(gw_tls_rotate_ticket_keys() == 0 && gw_tls_rotate_ticket_keys() == 0);
        CHECK(!resumes(&one, context));
        SSL_SESSION_free(session_seen);
        session_seen = NULL;
        world_close(&one);
        world_close(&other);
        SSL_CTX_free(context);
    }
}

static void renegotiation__is_refused(void) {
    const struct gw_config config = config_tls();
    SSL_CTX *context = tls_client_context_new();
    CHECK(SSL_CTX_set_max_proto_version(context, TLS1_2_VERSION) == 1);
    struct world w;
    world_open(&w, &config);
    int fd;
    SSL *ssl = begin(&w, context, &fd);
    CHECK(shake_hands(&w, ssl));
    client_upgrade(&w, fd);
    CHECK(SSL_renegotiate(ssl) == 1);
    CHECK(!shake_hands(&w, ssl));
    close(fd);
    SSL_CTX_free(context);
    world_expect_empty(&w);
    world_close(&w);
}

// Plaintext sockets to a TLS port.

static int plain_connect(struct world *w) { return client_connect(w); }

static void plain_send(int fd, const void *bytes, size_t length) {
    CHECK((send)(fd, bytes, length, MSG_NOSIGNAL) == (ssize_t)length);
}

static size_t plain_read_to_end(struct world *w, int fd, char *out, size_t room) {
    const uint64_t end = world_now_ms() + WORLD_PATIENCE_MS;
    size_t length = 0;
    for (;;) {
        const ssize_t some = (recv)(fd, out + length, room - length, MSG_DONTWAIT);
        if (some == 0 || (some < 0 && errno == ECONNRESET)) {
            return length;
        }
        length += some > 0 ? (size_t)some : 0;
        CHECK(length < room && world_now_ms() < end);
        world_turn(w, 1);
    }
}

static void plain_http__is_told_that_this_is_tls(void) {
    const struct gw_config config = config_tls();
    struct world w;
    char answer[1024] = { 0 };
    world_open(&w, &config);
    const int fd = plain_connect(&w);
    plain_send(fd, UPGRADE_REQUEST, sizeof UPGRADE_REQUEST - 1);
    const size_t length = plain_read_to_end(&w, fd, answer, sizeof answer - 1);
    CHECK(strncmp(answer, "HTTP/1.1 400 ", 13) == 0);
    const char *body = strstr(answer, "\r\n\r\n"), *field = strstr(answer, "Content-Length: ");
    CHECK(body != NULL && field != NULL && (size_t)atoi(field + 16) == length - (size_t)(body + 4 - answer));
    close(fd);
    world_expect_empty(&w);
    CHECK(world_stats(&w).handshakes_failed == 1 && w.seen_count == 0);
    world_close(&w);
}

static void garbage__ends_the_connection(void) {
    struct gw_config config = config_tls();
    config.handshake_ms = 200;
    struct world w;
    uint64_t seed = 7;
    world_open(&w, &config);
    for (int i = 0; i < 40; i++) {
        uint8_t bytes[512];
        char rest[4096];
        for (size_t at = 0; at < sizeof bytes; at++) {
            bytes[at] = (uint8_t)test_random(&seed);
        }
        if (i % 2) {
            memcpy(bytes, "\x16\x03\x01\x01\x00\x01", 6);   // a record of a handshake, at least
        }
        const int fd = plain_connect(&w);
        plain_send(fd, bytes, 1 + test_random(&seed) % sizeof bytes);
        (void)plain_read_to_end(&w, fd, rest, sizeof rest);
        close(fd);
    }
    world_expect_empty(&w);
    CHECK(world_stats(&w).handshakes_failed == 40 && w.seen_count == 0);
    world_close(&w);
}

static void record__altered_on_its_way_ends_the_connection(void) {
    const struct gw_config config = config_tls();
    struct world w;
    world_open(&w, &config);
    const int fd = client_open(&w, NULL);
    uint8_t forged[64] = { 0x17, 0x03, 0x03, 0, 59 };
    plain_send(fd, forged, sizeof forged);
    CHECK(world_await(&w, GW_EVENT_CLOSED, 0)->code == 1006);
    close(fd);
    world_expect_empty(&w);
    world_close(&w);
}

// Records that are cut anywhere, down to the byte, and the same a byte of plaintext each.
static void record__may_come_in_bytes_and_hold_one(void) {
    struct gw_config config = config_tls();
    config.receive_buffers = 2;
    config.receive_buffer_bytes = 64;
    struct world w;
    world_open(&w, &config);
    w.echo = 1;
    const int fd = client_open(&w, NULL);
    for (int n = 0; n < 20; n++) {
        uint8_t frame[64];
        const size_t length = frame_write(frame, 0x81, "over TLS", 8);
        for (size_t at = 0; at < length; at++) {
            client_send(&w, fd, frame + at, 1);
        }
        uint8_t payload[16];
        CHECK(client_read_frame(&w, fd, payload, sizeof payload).length == 8);
    }
    close(fd);
    world_expect_empty(&w);
    world_close(&w);
}

static void end__signed_by_the_peer_is_answered_with_what_was_queued(void) {
    const struct gw_config config = config_tls();
    struct world w;
    world_open(&w, &config);
    w.echo = 1;
    const int fd = client_open(&w, NULL);
    client_send_close(&w, fd, 1000);
    CHECK(client_read_close(&w, fd) == 1000);
    // And the server signs its end too: a receive tells 0 only then (tls_client.h).
    uint8_t byte;
    ssize_t last;
    while ((last = recv(fd, &byte, 1, MSG_DONTWAIT)) < 0 && errno == EAGAIN) {
        world_turn(&w, 1);
    }
    CHECK(last == 0);
    CHECK(SSL_get_shutdown(tls_client_of(fd)) & SSL_RECEIVED_SHUTDOWN);
    close(fd);
    world_expect_empty(&w);
    world_close(&w);
}

static void end__of_one_half_leaves_the_other(void) {
    const struct gw_config config = config_tls();
    struct world w;
    gw_conn_id id;
    world_open(&w, &config);
    const int fd = client_open(&w, &id);
    client_send_frame(&w, fd, 0x81, "last", 4);
    CHECK(SSL_shutdown(tls_client_of(fd)) >= 0);
    const struct seen *message = world_await(&w, GW_EVENT_MESSAGE, 0);
    CHECK(message->length == 4);
    CHECK(world_await(&w, GW_EVENT_CLOSED, 0)->code == 1006);   // no close frame came
    close(fd);
    world_expect_empty(&w);
    world_close(&w);
}

// Handshakes in number and in time.

static void handshakes__over_the_limit_wait_in_order(void) {
    struct gw_config config = config_tls();
    config.tls_handshakes_max = 2;
    config.handshake_ms = 20000;   // for all eight, one after the other, on a busy machine
    struct world w;
    int stuck[2], fds[8];
    world_open(&w, &config);
    w.echo = 1;
    for (int i = 0; i < 2; i++) {
        stuck[i] = plain_connect(&w);
        plain_send(stuck[i], "\x16\x03\x01\x02\x00\x01", 6);   // the beginning of a ClientHello
    }
    world_turn_for(&w, 20);
    for (int i = 0; i < 8; i++) {
        SSL *ssl = begin(&w, tls_client_context, &fds[i]);
        CHECK(SSL_do_handshake(ssl) != 1);
    }
    world_turn_for(&w, 100);
    for (int i = 0; i < 8; i++) {
        uint8_t byte;
        CHECK((recv)(fds[i], &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN);
    }
    close(stuck[0]);
    for (int i = 0; i < 8; i++) {
        CHECK(shake_hands(&w, tls_client_of(fds[i])));
        client_upgrade(&w, fds[i]);
        expect_echo(&w, fds[i]);
        close(fds[i]);
    }
    close(stuck[1]);
    world_expect_empty(&w);
    world_close(&w);
}

static void handshakes__in_a_flood_do_not_hold_up_those_who_are_through(void) {
    enum { FLOOD = 300 };
    struct gw_config config = config_tls();
    config.connections_max = FLOOD + 8;
    config.handshake_ms = 3000;
    struct world w;
    static int fds[FLOOD];
    world_open(&w, &config);
    w.echo = 1;
    const int through = client_open(&w, NULL);
    for (int i = 0; i < FLOOD; i++) {
        SSL *ssl = begin(&w, tls_client_context, &fds[i]);
        CHECK(SSL_do_handshake(ssl) != 1);
    }
    const uint64_t turns = world_stats(&w).turns;
    expect_echo(&w, through);
    CHECK(world_stats(&w).turns - turns < FLOOD);
    for (int i = 0; i < FLOOD; i++) {
        close(fds[i]);
    }
    close(through);
    world_expect_empty(&w);
    world_close(&w);
}

// The buffers for ciphertext, of which a TLS of this size has 1 MiB.

enum { HOGS = 100, LONG = 16384 };
static uint8_t long_message[LONG];

static struct gw_config config_small(void) {
    struct gw_config config = config_tls();
    config.connections_max = HOGS + 8;
    config.message_bytes_max = 256 << 10;
    config.pool_bytes_max = 4 << 20;
    return config;
}

static void expect_long_echo(struct world *w, int fd) {
    static uint8_t back[LONG];
    client_send_frame(w, fd, 0x82, long_message, LONG);
    CHECK(client_read_frame(w, fd, back, LONG).length == LONG);
}

// All of the longest record but its last bytes, which waits in buffers for them. Those whose input has waited longest
// give way to the next; everyone else is served meanwhile, with records that come in pieces themselves.
static void record__that_is_never_whole_leaves_others_theirs(void) {
    static const uint8_t partial[16384] = { 23, 3, 3, 0x40, 0x11 };
    const struct gw_config config = config_small();
    struct world w;
    int fds[HOGS];
    world_open(&w, &config);
    w.echo = 1;
    const int other = client_open(&w, NULL);
    for (int i = 0; i < HOGS; i++) {
        fds[i] = client_open(&w, NULL);
        for (size_t at = 0; at < sizeof partial; at += sizeof partial / 4) {
            plain_send(fds[i], partial + at, sizeof partial / 4);
            world_turn(&w, 0);
            world_turn(&w, 0);
        }
        expect_long_echo(&w, other);
    }
    const size_t ended = world_count(&w, GW_EVENT_CLOSED);
    CHECK(ended > 0 && ended < HOGS);
    for (int i = 0; i < HOGS; i++) {
        CHECK(client_is_ended(&w, fds[i], 0) == (i < (int)ended));
    }
    expect_long_echo(&w, other);
    for (int i = 0; i < HOGS; i++) {
        close(fds[i]);
    }
    close(other);
    world_expect_empty(&w);
    world_close(&w);
}

// Peers that read nothing hold what was encrypted for them. They get less at a time, so that there is always some for
// those who read.
static void answers__that_nobody_reads_leave_others_theirs(void) {
    enum { DEAF = 40, FULL_TURNS = 20 };
    struct gw_config config = config_small();
    config.outbound_bytes_max = 3 * LONG;
    config.write_stall_ms = 60000;
    struct world w;
    int fds[DEAF];
    world_open(&w, &config);
    w.echo = 1;
    const int other = client_open(&w, NULL);
    for (int i = 0; i < DEAF; i++) {
        gw_conn_id id;
        fds[i] = client_open_sized(&w, &id, 2048);
        for (int full = 0; full < FULL_TURNS; full++) {
            while (gw_conn_send(w.reactor, id, GW_BINARY, long_message, LONG) == 0) {
                full = 0;
            }
            world_turn(&w, 0);
        }
        expect_echo(&w, other);
    }
    for (int n = 0; n < 4; n++) {
        expect_long_echo(&w, other);
    }
    CHECK(world_count(&w, GW_EVENT_CLOSED) == 0);
    for (int i = 0; i < DEAF; i++) {
        close(fds[i]);
    }
    close(other);
    world_expect_empty(&w);
    world_close(&w);
}

// Certificates.

static void certificate__is_renewed_without_dropping_anyone(void) {
    const struct gw_config config = config_tls();
    struct tls_files files = tls_files_named(tls_files()->directory, "renewed");
    EVP_PKEY *key = tls_write_certificate(&files, "renewed");
    struct world w;
    world_open(&w, &config);
    w.echo = 1;
    const int before = client_open(&w, NULL);
    CHECK(gw_reactor_reload_tls(w.reactor, files.certificate, tls_files()->key) == GW_ETLS_MISMATCH);
    CHECK(gw_reactor_reload_tls(w.reactor, "/nonexistent", files.key) == GW_ETLS_CERTIFICATE);
    expect_echo(&w, before);
    CHECK(gw_reactor_reload_tls(w.reactor, files.certificate, files.key) == 0);
    const int after = client_open(&w, NULL);
    expect_echo(&w, before);
    expect_echo(&w, after);
    X509 *old = SSL_get1_peer_certificate(tls_client_of(before));
    X509 *new = SSL_get1_peer_certificate(tls_client_of(after));
    CHECK(X509_check_host(old, "localhost", 0, 0, NULL) == 1 && X509_check_host(new, "renewed", 0, 0, NULL) == 1);
    X509_free(old);
    X509_free(new);
    EVP_PKEY_free(key);
    close(before);
    close(after);
    unlink(files.certificate);
    unlink(files.key);
    world_expect_empty(&w);
    world_close(&w);
}

static void certificate__that_is_none_is_named(void) {
    struct gw_config config = config_tls();
    config.backend = (uint8_t)test_backend();
    const struct tls_files good = *tls_files();
    struct tls_files other = tls_files_named(good.directory, "other");
    EVP_PKEY_free(tls_write_certificate(&other, "other"));
    const struct { const char *certificate, *key; int error; } cases[] = {
        { "/nonexistent", good.key, GW_ETLS_CERTIFICATE },
        { good.key, good.key, GW_ETLS_CERTIFICATE },
        { good.certificate, "/nonexistent", GW_ETLS_KEY },
        { good.certificate, good.certificate, GW_ETLS_KEY },
        { good.certificate, other.key, GW_ETLS_MISMATCH },
        { good.certificate, NULL, GW_EINVAL },
        { NULL, good.key, GW_EINVAL },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct gw_reactor *reactor;
        config.tls_certificate_file = cases[i].certificate;
        config.tls_key_file = cases[i].key;
        CHECK(gw_reactor_create(&config, &reactor) == cases[i].error && reactor == NULL);
    }
    unlink(other.certificate);
    unlink(other.key);
}

int main(void) {
    RUN(version__is_1_2_or_1_3);
    RUN(alpn__is_http_1_1_or_refused);
    RUN(record__of_each_cipher_is_read_by_openssl_and_the_other_way_round);
    RUN(session__is_resumed_by_any_reactor_until_two_keys_later);
    RUN(renegotiation__is_refused);
    RUN(plain_http__is_told_that_this_is_tls);
    RUN(garbage__ends_the_connection);
    RUN(record__altered_on_its_way_ends_the_connection);
    RUN(record__may_come_in_bytes_and_hold_one);
    RUN(end__signed_by_the_peer_is_answered_with_what_was_queued);
    RUN(end__of_one_half_leaves_the_other);
    RUN(handshakes__over_the_limit_wait_in_order);
    RUN(handshakes__in_a_flood_do_not_hold_up_those_who_are_through);
    RUN(record__that_is_never_whole_leaves_others_theirs);
    RUN(answers__that_nobody_reads_leave_others_theirs);
    RUN(certificate__is_renewed_without_dropping_anyone);
    RUN(certificate__that_is_none_is_named);
    return 0;
}
