// Keys and their ends: KeyUpdate from either side (RFC 8446 section 4.6.3), how many records a key protects (section 5.5),
// and that no key is left in memory. tls_wire.h has the peer.
#include "tls_suites.h"

static void key_update__of_the_peer_is_followed_and_answered_when_asked(void) {
    for (size_t i = 0; i < SUITES; i++) {
        struct wire *w = secure(&suites[i]);
        for (int n = 0; suites[i].is_1_3 && n < 6; n++) {
            const int asks = n % 2;
            wire_say(w, GW_TLS_HANDSHAKE, asks ? update_wanted : key_update, sizeof key_update);
            wire_renew(w, &w->out);
            wire_say(w, GW_TLS_DATA, "x", 1);
            CHECK_ROW(suites[i].name, !w->ended && w->heard_bytes == (uint32_t)n + 1);
            uint8_t type;
            const int length = wire_hear(w, &type, content);
            CHECK_ROW(suites[i].name, length == (asks ? 5 : WIRE_NONE));
            if (asks) {
                CHECK_ROW(suites[i].name, type == GW_TLS_HANDSHAKE && memcmp(content, key_update, 5) == 0);
                wire_renew(w, &w->in);
            }
        }
        wire_close(w);
        // The close's own alert comes with the newest key.
        uint8_t type;
        CHECK_ROW(suites[i].name, wire_hear(w, &type, content) == 2 && type == GW_TLS_ALERT && content[1] == 0);
        wire_free(w);
    }
}

// RFC 8446 section 5.1.
static void key_update__may_come_in_several_records(void) {
    static const struct { const char *name; uint8_t lengths[6]; } cases[] = {
        { "1 4", { 1, 4 } }, { "4 1", { 4, 1 } }, { "2 3", { 2, 3 } }, { "bytes", { 1, 1, 1, 1, 1 } },
    };
    for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
        struct wire *w = secure(&suites[0]);
        for (int round = 0; round < 3; round++) {
            uint8_t type;
            uint32_t at = 0;
            for (int piece = 0; cases[n].lengths[piece] > 0; piece++) {
                CHECK_ROW(cases[n].name, wire_hear(w, &type, content) == WIRE_NONE);
                wire_say(w, GW_TLS_HANDSHAKE, update_wanted + at, cases[n].lengths[piece]);
                at += cases[n].lengths[piece];
            }
            CHECK_ROW(cases[n].name, wire_hear(w, &type, content) == 5 && memcmp(content, key_update, 5) == 0);
            wire_renew(w, &w->out);
            wire_renew(w, &w->in);
            wire_say(w, GW_TLS_DATA, "x", 1);
            CHECK_ROW(cases[n].name, !w->ended && w->heard_bytes == (uint32_t)round + 1);
        }
        done(w);
    }
}

static void key_update__in_several_records_lets_none_between_nor_after(void) {
    static const struct { const char *name; uint8_t type, bytes[8]; uint32_t length; uint8_t alert; } cases[] = {
        { "data", GW_TLS_DATA, "x", 1, GW_TLS_UNEXPECTED_MESSAGE },
        { "no data", GW_TLS_DATA, "", 0, GW_TLS_UNEXPECTED_MESSAGE },
        { "an alert", GW_TLS_ALERT, { 1, 90 }, 2, GW_TLS_UNEXPECTED_MESSAGE },
        { "an empty piece", GW_TLS_HANDSHAKE, "", 0, GW_TLS_UNEXPECTED_MESSAGE },
        { "another length", GW_TLS_HANDSHAKE, { 2, 0 }, 2, GW_TLS_UNEXPECTED_MESSAGE },
        { "more behind it", GW_TLS_HANDSHAKE, { 1, 0, 24 }, 3, GW_TLS_UNEXPECTED_MESSAGE },
        { "a wish that is none", GW_TLS_HANDSHAKE, { 1, 2 }, 2, ILLEGAL_PARAMETER },
    };
    for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
        struct wire *w = secure(&suites[0]);
        wire_say(w, GW_TLS_HANDSHAKE, key_update, 3);
        CHECK_ROW(cases[n].name, !w->ended);
        wire_say(w, cases[n].type, cases[n].bytes, cases[n].length);
        expect_heard(w, "");
        expect_refused(w, cases[n].name, cases[n].alert);
    }
}

// The old key is worth nothing after the update.
static void key_update__ends_the_key_before_it(void) {
    struct wire *w = secure(&suites[0]);
    wire_say(w, GW_TLS_HANDSHAKE, key_update, sizeof key_update);
    wire_say(w, GW_TLS_DATA, "x", 1);
    expect_heard(w, "");
    expect_refused(w, suites[0].name, GW_TLS_BAD_RECORD_MAC);
}

static void key_update__in_a_flood_is_refused(void) {
    struct wire *w = secure(&suites[0]);
    for (int n = 0; n <= USELESS_MAX; n++) {
        CHECK(!w->ended);
        wire_say(w, GW_TLS_HANDSHAKE, update_wanted, sizeof update_wanted);
        wire_renew(w, &w->out);
        uint8_t type;
        if (n < USELESS_MAX) {
            CHECK(wire_hear(w, &type, content) == 5);
            wire_renew(w, &w->in);
        }
    }
    expect_refused(w, suites[0].name, GW_TLS_UNEXPECTED_MESSAGE);
}

// Sends "text" and counts what arrives of it, and our own KeyUpdates, behind which the next key is expected.
static void send_text(struct wire *w, const char *row, int *messages, int *updates) {
    const struct iovec piece = { .iov_base = "text", .iov_len = 4 };
    uint8_t type;
    int length;
    gw_io_send(w->layer, 0, &piece, 1);
    wire_turn(w);
    while ((length = wire_hear(w, &type, content)) != WIRE_NONE) {
        if (type == GW_TLS_HANDSHAKE) {
            CHECK_ROW(row, length == 5 && memcmp(content, key_update, 5) == 0);
            wire_renew(w, &w->in);
            ++*updates;
        } else {
            CHECK_ROW(row, type == GW_TLS_DATA && length == 4 && memcmp(content, "text", 4) == 0);
            ++*messages;
        }
    }
}

enum { RECORDS_MAX = 3, MESSAGES = 20 };

static int is_limited(const struct suite *suite) { return !suite->is_1_3 && suite->cipher != GW_TLS_CHACHA20_POLY1305; }

static void key_update__is_ours_to_send_after_a_number_of_records(void) {
    for (size_t i = 0; i < SUITES; i++) {
        if (is_limited(&suites[i])) {
            continue;
        }
        struct wire *w = wire_new(RECORDS_MAX);
        wire_secure(w, suites[i].is_1_3, suites[i].cipher);
        int messages = 0, updates = 0;
        for (int n = 0; n < MESSAGES; n++) {
            send_text(w, suites[i].name, &messages, &updates);
            CHECK_ROW(suites[i].name, w->send_result == 4);
            CHECK_ROW(suites[i].name, !suites[i].is_1_3 || w->in.record <= RECORDS_MAX);
        }
        CHECK_ROW(suites[i].name, messages == MESSAGES);
        CHECK_ROW(suites[i].name, updates == (suites[i].is_1_3 ? (MESSAGES - 1) / RECORDS_MAX : 0));
        done(w);
    }
}

// TLS 1.2 has no next key but by renegotiation. Finished was each key's first record.
static void key__of_1_2_that_has_protected_its_number_of_records_ends_the_connection(void) {
    for (size_t i = 0; i < SUITES; i++) {
        if (!is_limited(&suites[i])) {
            continue;
        }
        uint8_t type;
        struct wire *w = wire_new(RECORDS_MAX);
        wire_secure(w, 0, suites[i].cipher);
        int messages = 0, updates = 0;
        for (int n = 1; n < RECORDS_MAX + 3; n++) {
            send_text(w, suites[i].name, &messages, &updates);
            CHECK_ROW(suites[i].name, w->send_result == (n < RECORDS_MAX ? 4 : -EKEYEXPIRED));
        }
        CHECK_ROW(suites[i].name, messages == RECORDS_MAX - 1 && updates == 0 && !w->ended);
        wire_close(w);
        CHECK_ROW(suites[i].name, wire_hear(w, &type, content) == 2 && type == GW_TLS_ALERT && content[1] == 0);

        wire_secure(w, 0, suites[i].cipher);
        for (int n = 1; n < RECORDS_MAX; n++) {
            wire_say(w, GW_TLS_DATA, "x", 1);
            CHECK_ROW(suites[i].name, !w->ended);
        }
        wire_say(w, GW_TLS_DATA, "x", 1);
        CHECK_ROW(suites[i].name, w->ended && w->end_result == -EKEYEXPIRED && w->heard_bytes == RECORDS_MAX - 1);
        wire_close(w);
        CHECK_ROW(suites[i].name, wire_hear(w, &type, content) == 2 && type == GW_TLS_ALERT && content[1] == 0);
        wire_free(w);
    }
}

// Whether the bytes lie anywhere that this process may write to: heap, stacks, what is mapped. The needle is told inverted,
// so that it does not find itself.
static int is_in_memory(const uint8_t *inverted, size_t length) {
    enum { LONGEST = 256 << 20 };   // the sanitizer's shadow is longer, and holds no key
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    int found = 0;
    CHECK(maps != NULL);
    const int memory = open("/proc/self/mem", O_RDONLY);
    CHECK(memory >= 0);
    static uint8_t block[1 << 16];
    while (fgets(line, sizeof line, maps) != NULL) {
        unsigned long from, to;
        char rights[8];
        if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) != 3 || rights[1] != 'w' || to - from > LONGEST) {
            continue;
        }
        while (from < to) {
            const size_t piece = to - from < sizeof block ? to - from : sizeof block;
            const ssize_t some = pread(memory, block, piece, (off_t)from);
            if (some <= (ssize_t)length) {
                break;
            }
            for (size_t at = 0; at + length <= (size_t)some; at++) {
                size_t same = 0;
                while (same < length && block[at + same] == (uint8_t)~inverted[same]) {
                    same++;
                }
                // The block itself is in memory, too.
                const unsigned long here = from + at, own = (unsigned long)block;
                found += same == length && (here < own || here >= own + sizeof block);
            }
            from += (unsigned long)some == piece && piece == sizeof block ? piece - length : piece;
        }
        memset(block, 0, sizeof block);
    }
    close(memory);
    CHECK(fclose(maps) == 0);
    return found;
}

static void keys__are_nowhere_after_the_end(void) {
    for (size_t i = 0; i < SUITES; i++) {
        struct wire *w = secure(&suites[i]);
        const struct iovec piece = { .iov_base = "text", .iov_len = 4 };
        uint8_t inverted[2][16];
        wire_say(w, GW_TLS_DATA, "text", 4);
        gw_io_send(w->layer, 0, &piece, 1);
        wire_turn(w);
        for (int way = 0; way < 2; way++) {
            for (size_t at = 0; at < sizeof inverted[way]; at++) {
                inverted[way][at] = (uint8_t)~wire_socket(w)->keys[way].key[at];
            }
        }
        OPENSSL_cleanse(&w->in, sizeof w->in);
        OPENSSL_cleanse(&w->out, sizeof w->out);
        CHECK_ROW(suites[i].name, is_in_memory(inverted[0], 16) > 0 && is_in_memory(inverted[1], 16) > 0);
        wire_close(w);
        CHECK_ROW(suites[i].name, is_in_memory(inverted[0], 16) == 0 && is_in_memory(inverted[1], 16) == 0);
        wire_free(w);
    }
}

int main(void) {
    RUN(key_update__of_the_peer_is_followed_and_answered_when_asked);
    RUN(key_update__may_come_in_several_records);
    RUN(key_update__in_several_records_lets_none_between_nor_after);
    RUN(key_update__ends_the_key_before_it);
    RUN(key_update__in_a_flood_is_refused);
    RUN(key_update__is_ours_to_send_after_a_number_of_records);
    RUN(key__of_1_2_that_has_protected_its_number_of_records_ends_the_connection);
    RUN(keys__are_nowhere_after_the_end);
    return 0;
}
