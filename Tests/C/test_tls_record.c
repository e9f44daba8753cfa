// Records and what the TLS layer makes of them (RFC 8446 section 5, RFC 5246 section 6): what is told, which alert answers
// what is refused, and that nothing is told, or said, after an end. tls_wire.h has the peer.
#include "tls_suites.h"

static void record__with_any_byte_altered_is_refused(void) {
    for (size_t i = 0; i < SUITES; i++) {
        const uint32_t length = 5 + (suites[i].is_1_3 || suites[i].cipher == GW_TLS_CHACHA20_POLY1305 ? 0u : 8u) + 4
                                + (uint32_t)suites[i].is_1_3 + 16;
        for (uint32_t at = 2; at < length; at++) {
            if (at == 3 || at == 4) {
                continue;   // the length has its own case
            }
            struct wire *w = secure(&suites[i]);
            CHECK(wire_seal(w, GW_TLS_DATA, "text", 4, 0, record) == length);
            record[at] ^= 0x10;
            wire_feed(w, record, length);
            CHECK_ROW(suites[i].name, w->heard_bytes == 0);
            expect_refused(w, suites[i].name, GW_TLS_BAD_RECORD_MAC);
        }
    }
}

static void record__with_another_header_is_refused(void) {
    static const struct { const char *name; uint8_t at, byte, alert; } cases[] = {
        { "major version", 1, 2, GW_TLS_UNEXPECTED_MESSAGE },
        { "change_cipher_spec", 0, 20, GW_TLS_UNEXPECTED_MESSAGE },
        { "no type", 0, 0, GW_TLS_UNEXPECTED_MESSAGE },
        { "heartbeat", 0, 24, GW_TLS_UNEXPECTED_MESSAGE },
        { "one byte less", 4, 0, GW_TLS_BAD_RECORD_MAC },
        { "too long", 3, 0x41, GW_TLS_RECORD_OVERFLOW },
    };
    for (size_t i = 0; i < SUITES; i++) {
        for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
            struct wire *w = secure(&suites[i]);
            const uint32_t length = wire_seal(w, GW_TLS_DATA, "text", 4, 0, record);
            record[cases[n].at] = cases[n].at == 4 ? (uint8_t)(record[4] - 1) : cases[n].byte;
            wire_feed(w, record, length);
            expect_refused(w, cases[n].name, cases[n].alert);
        }
    }
}

// An alert or a message of a handshake that is not encrypted counts for nothing once there are keys.
static void record__that_is_not_encrypted_is_refused(void) {
    static const struct { uint8_t bytes[16]; uint32_t length; uint8_t alert_1_3, alert_1_2; } cases[] = {
        { { 21, 3, 3, 0, 2, 1, 0 }, 7, GW_TLS_UNEXPECTED_MESSAGE, GW_TLS_BAD_RECORD_MAC },
        { { 20, 3, 3, 0, 1, 1 }, 6, GW_TLS_UNEXPECTED_MESSAGE, GW_TLS_UNEXPECTED_MESSAGE },
        { { 22, 3, 3, 0, 5, 24, 0, 0, 1, 0 }, 10, GW_TLS_UNEXPECTED_MESSAGE, GW_TLS_BAD_RECORD_MAC },
        { { 23, 3, 3, 0, 0 }, 5, GW_TLS_BAD_RECORD_MAC, GW_TLS_BAD_RECORD_MAC },
    };
    for (size_t i = 0; i < SUITES; i++) {
        for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
            struct wire *w = secure(&suites[i]);
            wire_feed(w, cases[n].bytes, cases[n].length);
            expect_refused(w, suites[i].name, suites[i].is_1_3 ? cases[n].alert_1_3 : cases[n].alert_1_2);
        }
    }
}

static void record__out_of_its_order_is_refused(void) {
    for (size_t i = 0; i < SUITES; i++) {
        for (int again = 0; again < 2; again++) {
            struct wire *w = secure(&suites[i]);
            const uint32_t length = wire_seal(w, GW_TLS_DATA, "one", 3, 0, record);
            uint8_t second[64];
            const uint32_t second_bytes = wire_seal(w, GW_TLS_DATA, "two", 3, 0, second);
            if (again) {
                wire_feed(w, record, length);
                wire_feed(w, record, length);
            } else {
                wire_feed(w, second, second_bytes);
            }
            expect_heard(w, again ? "one" : "");
            expect_refused(w, suites[i].name, GW_TLS_BAD_RECORD_MAC);
        }
    }
}

// RFC 8446 section 5.4: padding counts.
static void record__of_the_longest_length_is_read_and_a_longer_one_refused(void) {
    static const struct { uint32_t length, zeros; int good; } cases[] = {
        { 16384, 0, 1 }, { 16383, 1, 1 }, { 1, 16383, 1 }, { 16385, 0, 0 }, { 16384, 1, 0 }, { 1, 16384, 0 },
        { 0, 16385, 0 },
    };
    static const uint8_t text[16385] = { 'x' };
    for (size_t i = 0; i < SUITES; i++) {
        for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
            if (cases[n].zeros > 0 && !suites[i].is_1_3) {
                continue;
            }
            struct wire *w = secure(&suites[i]);
            wire_feed(w, record, wire_seal(w, GW_TLS_DATA, text, cases[n].length, cases[n].zeros, record));
            CHECK_ROW(suites[i].name, w->heard_bytes == (cases[n].good ? cases[n].length : 0));
            if (cases[n].good) {
                done(w);
            } else {
                expect_refused(w, suites[i].name, GW_TLS_RECORD_OVERFLOW);
            }
        }
    }
}

static void record__without_content_is_borne_a_number_of_times(void) {
    for (size_t i = 0; i < SUITES; i++) {
        struct wire *w = secure(&suites[i]);
        for (int round = 0; round < 2; round++) {
            for (int n = 0; n < USELESS_MAX; n++) {
                wire_say(w, GW_TLS_DATA, "", 0);
            }
            wire_say(w, GW_TLS_DATA, "x", 1);   // begins the count anew
        }
        expect_heard(w, "xx");
        for (int n = 0; n <= USELESS_MAX; n++) {
            CHECK_ROW(suites[i].name, !w->ended);
            wire_say(w, GW_TLS_DATA, "", 0);
        }
        expect_refused(w, suites[i].name, GW_TLS_UNEXPECTED_MESSAGE);
    }
}

static void record__of_an_inner_type_that_is_none_is_refused(void) {
    static const uint8_t types[] = { 0, 1, 20, 24, 25, 255 };
    for (size_t i = 0; i < SUITES; i++) {
        for (size_t n = 0; suites[i].is_1_3 && n < sizeof types; n++) {
            struct wire *w = secure(&suites[i]);
            static const uint8_t zeros[64];
            wire_feed(w, record, types[n] == 0 ? wire_seal_inner(w, 23, zeros, sizeof zeros, record)
                                               : wire_seal(w, types[n], "text", 4, 9, record));
            expect_refused(w, suites[i].name, GW_TLS_UNEXPECTED_MESSAGE);
        }
    }
}

static void record__may_come_byte_by_byte_or_many_at_once(void) {
    for (size_t i = 0; i < SUITES; i++) {
        struct wire *w = secure(&suites[i]);
        uint32_t length = 0;
        static uint8_t text[3000];
        memset(text, 'y', sizeof text);
        for (int n = 0; n < 3; n++) {
            length += wire_seal(w, GW_TLS_DATA, text, sizeof text, 0, record + length);
        }
        for (uint32_t at = 0; at < length; at++) {
            wire_feed(w, record + at, 1);
        }
        CHECK_ROW(suites[i].name, w->heard_bytes == 3 * sizeof text && !w->ended);
        length = 0;
        for (int n = 0; n < 3; n++) {
            length += wire_seal(w, GW_TLS_DATA, text, sizeof text, 0, record + length);
        }
        wire_feed(w, record, length);
        CHECK_ROW(suites[i].name, w->heard_bytes == 6 * sizeof text && !w->ended);
        done(w);
    }
}

static void alert__ends_or_does_not(void) {
    static const struct { const char *name; uint8_t bytes[4]; uint32_t length; int result_1_3, result_1_2; uint8_t alert; }
    cases[] = {
        { "close_notify", { 1, 0 }, 2, 0, 0, 0 },
        { "close_notify, fatal", { 2, 0 }, 2, 0, 0, 0 },
        { "handshake_failure", { 2, 40 }, 2, -EPROTO, -EPROTO, 0 },
        { "a warning", { 1, 100 }, 2, -EPROTO, 1, 0 },
        { "user_canceled", { 1, 90 }, 2, 1, 1, 0 },
        { "empty", { 0 }, 0, -EPROTO, -EPROTO, GW_TLS_UNEXPECTED_MESSAGE },
        { "half", { 1 }, 1, -EPROTO, -EPROTO, GW_TLS_DECODE_ERROR },
        { "two in a record", { 1, 90, 1, 0 }, 4, -EPROTO, -EPROTO, GW_TLS_DECODE_ERROR },
    };
    for (size_t i = 0; i < SUITES; i++) {
        for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
            struct wire *w = secure(&suites[i]);
            const int result = suites[i].is_1_3 ? cases[n].result_1_3 : cases[n].result_1_2;
            wire_say(w, GW_TLS_ALERT, cases[n].bytes, cases[n].length);
            if (cases[n].alert != 0) {
                expect_refused(w, cases[n].name, cases[n].alert);
                continue;
            }
            CHECK_ROW(cases[n].name, w->ended == (result <= 0) && w->end_result == (result <= 0 ? result : 0));
            wire_say(w, GW_TLS_DATA, "more", 4);
            CHECK_ROW(cases[n].name, w->heard_bytes == (result <= 0 ? 0 : 4));
            // An alert is not answered by one.
            CHECK_ROW(cases[n].name, w->sent_bytes == 0);
            done(w);
        }
    }
}

static void alert__in_a_flood_is_refused(void) {
    for (size_t i = 0; i < SUITES; i++) {
        struct wire *w = secure(&suites[i]);
        for (int n = 0; n <= USELESS_MAX; n++) {
            CHECK_ROW(suites[i].name, !w->ended);
            wire_say(w, GW_TLS_ALERT, "\x01\x5a", 2);
        }
        expect_refused(w, suites[i].name, GW_TLS_UNEXPECTED_MESSAGE);
    }
}

static void end__is_orderly_only_when_it_is_signed(void) {
    for (size_t i = 0; i < SUITES; i++) {
        for (int cut = 0; cut < 3; cut++) {
            struct wire *w = secure(&suites[i]);
            wire_say(w, GW_TLS_DATA, "text", 4);
            const uint32_t length = wire_seal(w, GW_TLS_ALERT, close_notify, 2, 0, record);
            wire_feed(w, record, cut == 0 ? length : cut == 1 ? length - 1 : 0);
            wire_end(w);
            expect_heard(w, "text");
            CHECK_ROW(suites[i].name, w->ended && w->end_result == (cut == 0 ? 0 : -ENODATA));
            done(w);
        }
    }
}

// Every handshake message of 1.2 behind the handshake, renegotiation first, and all of 1.3 but one.
static void handshake__behind_the_handshake_is_refused(void) {
    static const struct { const char *name; uint8_t bytes[10]; uint32_t length; uint8_t alert; int only_1_3; } cases[] = {
        { "client_hello", { 1, 0, 0, 2, 3, 3 }, 6, GW_TLS_UNEXPECTED_MESSAGE, 0 },
        { "hello_request", { 0, 0, 0, 0 }, 4, GW_TLS_UNEXPECTED_MESSAGE, 0 },
        { "certificate", { 11, 0, 0, 4, 0, 0, 0, 0 }, 8, GW_TLS_UNEXPECTED_MESSAGE, 0 },
        { "finished", { 20, 0, 0, 1, 0 }, 5, GW_TLS_UNEXPECTED_MESSAGE, 0 },
        { "new_session_ticket", { 4, 0, 0, 1, 0 }, 5, GW_TLS_UNEXPECTED_MESSAGE, 0 },
        { "empty", { 0 }, 0, GW_TLS_UNEXPECTED_MESSAGE, 0 },
        { "half of another message", { 24, 0, 1 }, 3, GW_TLS_UNEXPECTED_MESSAGE, 0 },
        { "two key_updates", { 24, 0, 0, 1, 0, 24, 0, 0, 1, 0 }, 10, GW_TLS_UNEXPECTED_MESSAGE, 0 },
        { "key_update of a wrong length", { 24, 0, 0, 2, 0, 0 }, 6, GW_TLS_UNEXPECTED_MESSAGE, 0 },
        { "key_update that asks for 2", { 24, 0, 0, 1, 2 }, 5, ILLEGAL_PARAMETER, 1 },
    };
    for (size_t i = 0; i < SUITES; i++) {
        for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
            struct wire *w = secure(&suites[i]);
            const int other = cases[n].only_1_3 && !suites[i].is_1_3;
            wire_say(w, GW_TLS_HANDSHAKE, cases[n].bytes, cases[n].length);
            expect_refused(w, cases[n].name, other ? GW_TLS_UNEXPECTED_MESSAGE : cases[n].alert);
        }
    }
}

// Our close_notify is the last that we say, whatever the peer does then; what it says is still read.
static void end__of_ours_is_the_last_record(void) {
    for (size_t i = 0; i < SUITES; i++) {
        for (int broken = 0; broken < 2; broken++) {
            struct wire *w = secure(&suites[i]);
            uint8_t type;
            gw_io_shutdown(w->layer, 0);
            wire_turn(w);
            CHECK_ROW(suites[i].name, w->shut && wire_hear(w, &type, content) == 2 && type == GW_TLS_ALERT);
            if (suites[i].is_1_3) {
                wire_say(w, GW_TLS_HANDSHAKE, update_wanted, sizeof update_wanted);
                wire_renew(w, &w->out);
            }
            wire_say(w, GW_TLS_DATA, "late", 4);
            expect_heard(w, "late");
            if (broken) {
                wire_say(w, 20, "\x01", 1);
                CHECK_ROW(suites[i].name, w->ended && w->end_result == -EPROTO);
            }
            wire_close(w);
            CHECK_ROW(suites[i].name, w->sent_bytes == 0);
            wire_free(w);
        }
    }
}

// A report that found no room in its turn is not the next owner's, whatever the two have under way.
static void send__is_told_to_its_own_connection(void) {
    struct wire *w = secure(&suites[0]);
    const struct iovec piece = { .iov_base = "text", .iov_len = 4 };
    struct gw_io_event events[2];
    wire_say(w, 20, "x", 1);
    CHECK(w->ended);
    gw_io_send(w->layer, 0, &piece, 1);   // is broken: the report waits for the next turn,
    gw_io_close(w->layer, 0);             // which has room for two other events only
    wire_push(w, (struct gw_io_event){ .kind = GW_IO_ACCEPTED });
    CHECK(gw_io_turn(w->layer, 0, events, 2) == 2);
    CHECK(events[0].kind == GW_IO_CLOSED && events[1].kind == GW_IO_ACCEPTED);
    w->closed = w->ended = 0;
    wire_give_all_keys(w, suites[0].is_1_3, suites[0].cipher);
    gw_io_receive_start(w->layer, 0);
    w->sent_bytes = 0;
    gw_io_send(w->layer, 0, &piece, 1);
    wire_turn(w);
    CHECK(w->send_result == 4);
    done(w);
}

// OpenSSL's client, byte queues for its socket.

static void take_from_client(struct wire *w, SSL *ssl, int bytewise) {
    const int length = BIO_read(SSL_get_wbio(ssl), record, sizeof record);
    for (int at = 0; at < length;) {
        const int piece = bytewise ? 1 : length;
        wire_feed(w, record + at, (uint32_t)piece);
        at += piece;
    }
}

// The client's first words leave with its Finished, which in 1.2 is its last only when it comes back.
static void record__glued_to_the_handshake_is_read(void) {
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
        for (int bytewise = 0; bytewise < 2; bytewise++) {
            SSL_CTX *context = tls_client_context_new();
            SSL_SESSION *session = NULL;
            CHECK(SSL_CTX_set_max_proto_version(context, version) == 1);
            struct wire *w = wire_new(0);
            for (int round = 0; round < 2; round++) {
                SSL *ssl = SSL_new(context);
                SSL_set_bio(ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
                SSL_set_connect_state(ssl);
                CHECK(session == NULL || SSL_set_session(ssl, session) == 1);
                wire_accept(w);
                while (SSL_do_handshake(ssl) != 1) {
                    take_from_client(w, ssl, bytewise);
                    CHECK(!w->ended && w->sent_bytes > 0);
                    CHECK(BIO_write(SSL_get_rbio(ssl), w->sent, (int)w->sent_bytes) == (int)w->sent_bytes);
                    w->sent_bytes = 0;
                }
                CHECK(SSL_session_reused(ssl) == round);
                CHECK(SSL_write(ssl, "first", 5) == 5 && SSL_write(ssl, " words", 6) == 6);
                take_from_client(w, ssl, bytewise);
                expect_heard(w, "first words");
                const struct iovec piece = { .iov_base = "answer", .iov_len = 6 };
                gw_io_send(w->layer, 0, &piece, 1);
                wire_turn(w);
                CHECK(BIO_write(SSL_get_rbio(ssl), w->sent, (int)w->sent_bytes) == (int)w->sent_bytes);
                CHECK(SSL_read(ssl, content, sizeof content) == 6 && memcmp(content, "answer", 6) == 0);
                SSL_SESSION_free(session);
                session = SSL_get1_session(ssl);
                SSL_set_shutdown(ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
                SSL_free(ssl);
                wire_close(w);
            }
            SSL_SESSION_free(session);
            SSL_CTX_free(context);
            wire_free(w);
        }
    }
}

int main(void) {
    RUN(record__with_any_byte_altered_is_refused);
    RUN(record__with_another_header_is_refused);
    RUN(record__that_is_not_encrypted_is_refused);
    RUN(record__out_of_its_order_is_refused);
    RUN(record__of_the_longest_length_is_read_and_a_longer_one_refused);
    RUN(record__without_content_is_borne_a_number_of_times);
    RUN(record__of_an_inner_type_that_is_none_is_refused);
    RUN(record__may_come_byte_by_byte_or_many_at_once);
    RUN(record__glued_to_the_handshake_is_read);
    RUN(alert__ends_or_does_not);
    RUN(alert__in_a_flood_is_refused);
    RUN(end__is_orderly_only_when_it_is_signed);
    RUN(end__of_ours_is_the_last_record);
    RUN(handshake__behind_the_handshake_is_refused);
    RUN(send__is_told_to_its_own_connection);
    return 0;
}
