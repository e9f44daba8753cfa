// How connections end: close frames both ways, protocol errors, deadlines, and ids that have gone stale.
#include "gateway_client.h"

static struct gw_config config_brisk(void) {
    struct gw_config config = config_usual(64);
    config.close_ms = 200;
    return config;
}

static void close__of_the_peer_is_echoed_and_told(void) {
    const struct gw_config config = config_brisk();
    const uint16_t codes[] = { 1000, 1001, 3000, 4999 };
    struct world w;
    world_open(&w, &config);
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        const int fd = client_open(&w, NULL);
        client_send_close(&w, fd, codes[i]);
        CHECK(client_read_close(&w, fd) == codes[i]);
        CHECK(world_await(&w, GW_EVENT_CLOSED, i)->code == codes[i]);
        CHECK(client_is_ended(&w, fd, WORLD_PATIENCE_MS));
        close(fd);
    }
    const int fd = client_open(&w, NULL);
    client_send_frame(&w, fd, 0x88, NULL, 0);
    CHECK(client_read_close(&w, fd) == 1005);
    CHECK(world_await(&w, GW_EVENT_CLOSED, sizeof codes / sizeof *codes)->code == 1005);
    close(fd);
    world_close(&w);
}

static void close__of_ours_waits_for_the_answer(void) {
    const struct gw_config config = config_brisk();
    struct world w;
    gw_conn_id id;
    uint8_t payload[125];
    world_open(&w, &config);
    const int fd = client_open(&w, &id);
    CHECK(gw_conn_send(w.reactor, id, GW_TEXT, (const uint8_t *)"last", 4) == 0);
    CHECK(gw_conn_close(w.reactor, id, 4001, "moved") == 0);
    CHECK(gw_conn_close(w.reactor, id, 4002, NULL) == 0);
    CHECK(gw_conn_send(w.reactor, id, GW_TEXT, (const uint8_t *)"late", 4) == GW_ECLOSING);
    CHECK(client_read_frame(&w, fd, payload, sizeof payload).length == 4);
    const struct frame frame = client_read_frame(&w, fd, payload, sizeof payload);
    CHECK(frame.first == 0x88 && frame.length == 7 && memcmp(payload, "\x0f\xa1moved", 7) == 0);
    client_send_frame(&w, fd, 0x81, "in between", 10);
    client_send_close(&w, fd, 4001);
    CHECK(world_await(&w, GW_EVENT_CLOSED, 0)->code == 4001);
    CHECK(world_count(&w, GW_EVENT_MESSAGE) == 0);
    CHECK(client_is_ended(&w, fd, WORLD_PATIENCE_MS));
    close(fd);
    world_close(&w);
}

static void close__of_ours_ends_at_its_deadline(void) {
    const struct gw_config config = config_brisk();
    struct world w;
    gw_conn_id id;
    world_open(&w, &config);
    const int fd = client_open(&w, &id);
    const uint64_t begin = world_now_ms();
    CHECK(gw_conn_close(w.reactor, id, 1000, NULL) == 0);
    CHECK(world_await(&w, GW_EVENT_CLOSED, 0)->code == 1000);
    CHECK(world_now_ms() - begin >= 195);
    close(fd);
    world_close(&w);
}

static void close__refuses_codes_that_may_not_be_sent(void) {
    const struct gw_config config = config_brisk();
    const uint16_t codes[] = { 0, 999, 1004, 1005, 1006, 1015, 2999, 5000 };
    char reason[125];
    struct world w;
    gw_conn_id id;
    world_open(&w, &config);
    const int fd = client_open(&w, &id);
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        CHECK(gw_conn_close(w.reactor, id, codes[i], NULL) == GW_EINVAL);
    }
    memset(reason, 'r', sizeof reason);
    reason[124] = 0;
    CHECK(gw_conn_close(w.reactor, id, 1000, reason) == GW_EINVAL);
    reason[123] = 0;
    CHECK(gw_conn_close(w.reactor, id, 1000, reason) == 0);
    close(fd);
    world_close(&w);
}

// What the peer did wrong, and the code on the wire; the socket then ends without a reset.
static void close__names_every_protocol_error(void) {
    struct gw_config config = config_brisk();
    config.message_bytes_max = 1000;
    config.fragments_max = 3;
    const struct { const char *bytes; size_t length; uint16_t code; } cases[] = {
        { "\xc1\x80\0\0\0\0", 6, 1002 },                              // a reserved bit
        { "\x83\x80\0\0\0\0", 6, 1002 },                              // a reserved opcode
        { "\x81\x01x", 3, 1002 },                                     // no mask
        { "\x09\x80\0\0\0\0", 6, 1002 },                              // a fragmented ping
        { "\x89\xfe\x00\x7e\0\0\0\0", 8, 1002 },                      // a ping of 126 bytes
        { "\x82\xfe\x00\x05\0\0\0\0", 8, 1002 },                      // a length not in its shortest form
        { "\x80\x80\0\0\0\0", 6, 1002 },                              // a continuation of nothing
        { "\x01\x80\0\0\0\0\x81\x80\0\0\0\0", 12, 1002 },             // a message inside one
        { "\x88\x81\0\0\0\0x", 7, 1002 },                             // half a close code
        { "\x88\x82\0\0\0\0\x03\xed", 8, 1002 },                      // a close code that may not be sent, 1005
        { "\x81\x82\0\0\0\0\xc0\x80", 8, 1007 },                      // broken UTF-8
        { "\x88\x83\0\0\0\0\x03\xe8\xff", 9, 1007 },                  // in a close reason
        { "\x82\xfe\x03\xe9\0\0\0\0", 8, 1009 },                      // 1001 bytes
        { "\x02\x80\0\0\0\0\0\x80\0\0\0\0\0\x80\0\0\0\0\0\x80\0\0\0\0", 24, 1009 },   // a fourth fragment
    };
    struct world w;
    world_open(&w, &config);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int fd = client_open(&w, NULL);
        client_send(&w, fd, cases[i].bytes, cases[i].length);
        const int code = client_read_close(&w, fd);
        if (code != cases[i].code) {
            fprintf(stderr, "case %zu: %d\n", i, code);
        }
        CHECK(code == cases[i].code);
        uint8_t byte;
        CHECK(recv(fd, &byte, 1, MSG_DONTWAIT) <= 0);
        while (recv(fd, &byte, 1, MSG_DONTWAIT) < 0) {
            CHECK(errno == EAGAIN);
            world_turn(&w, 1);
        }
        close(fd);
        CHECK(world_await(&w, GW_EVENT_CLOSED, i)->code == cases[i].code);
    }
    CHECK(world_count(&w, GW_EVENT_MESSAGE) == 0);
    world_turn_for(&w, 20);
    CHECK(world_stats(&w).pool_bytes == 0);
    world_close(&w);
}

// The last words of a failed connection arrive although the peer goes on sending all the while.
static void close__after_an_error_survives_a_peer_that_goes_on(void) {
    const struct gw_config config = config_brisk();
    struct world w;
    world_open(&w, &config);
    const int fd = client_open(&w, NULL);
    uint8_t *noise = calloc(1, 100000);
    noise[0] = 0xff;
    client_send(&w, fd, noise, 100000);
    client_send(&w, fd, noise, 100000);
    CHECK(client_read_close(&w, fd) == 1002);
    CHECK(world_await(&w, GW_EVENT_CLOSED, 0)->code == 1002);
    free(noise);
    close(fd);
    world_close(&w);
}

static void close__is_abnormal_when_the_peer_vanishes(void) {
    const struct gw_config config = config_brisk();
    struct world w;
    world_open(&w, &config);
    const int leaves = client_open(&w, NULL), resets = client_open(&w, NULL);
    close(leaves);
    CHECK(world_await(&w, GW_EVENT_CLOSED, 0)->code == 1006);
    const struct linger hard = { .l_onoff = 1 };
    CHECK(setsockopt(resets, SOL_SOCKET, SO_LINGER, &hard, sizeof hard) == 0);
    close(resets);
    CHECK(world_await(&w, GW_EVENT_CLOSED, 1)->code == 1006);
    world_close(&w);
}

static void close__delivers_what_came_before_the_end(void) {
    const struct gw_config config = config_brisk();
    struct world w;
    world_open(&w, &config);
    const int fd = client_open(&w, NULL);
    client_send_frame(&w, fd, 0x81, "one", 3);
    client_send_frame(&w, fd, 0x81, "two", 3);
    client_send_close(&w, fd, 1000);
    client_send_frame(&w, fd, 0x81, "after", 5);
    close(fd);
    CHECK(world_await(&w, GW_EVENT_CLOSED, 0)->code == 1000);
    CHECK(world_count(&w, GW_EVENT_MESSAGE) == 2);
    world_close(&w);
}

static void id__is_stale_after_closed_and_never_another_clients(void) {
    const struct gw_config config = config_brisk();
    struct world w;
    gw_conn_id first, second;
    struct gw_frame *frame;
    world_open(&w, &config);
    int fd = client_open(&w, &first);
    close(fd);
    CHECK(world_await(&w, GW_EVENT_CLOSED, 0)->conn == first);
    CHECK(gw_frame_create(w.reactor, GW_TEXT, (const uint8_t *)"x", 1, &frame) == 0);
    for (int round = 0; round < 2; round++) {
        CHECK(gw_conn_send(w.reactor, first, GW_TEXT, (const uint8_t *)"x", 1) == GW_ENOCONN);
        CHECK(gw_conn_send_frame(w.reactor, first, frame) == GW_ENOCONN);
        CHECK(gw_conn_close(w.reactor, first, 1000, NULL) == GW_ENOCONN);
        CHECK(gw_conn_set_idle(w.reactor, first, 10) == GW_ENOCONN);
        CHECK(gw_conn_send(w.reactor, 0, GW_TEXT, NULL, 0) == GW_ENOCONN);
        CHECK(gw_conn_send(w.reactor, UINT64_MAX, GW_TEXT, NULL, 0) == GW_ENOCONN);
        if (round == 0) {
            world_turn_for(&w, 20);
            fd = client_open(&w, &second);
            CHECK((uint32_t)second == (uint32_t)first && second != first);   // the same slot, another generation
        }
    }
    gw_frame_release(w.reactor, frame);
    close(fd);
    world_close(&w);
}

// One is silent, one talks for several times as long as it may be silent, one may be silent for ever. 0: a busy machine
// has kept the one that talks from it for so long that the case says nothing.
static int idle_is_told_apart(uint32_t idle_ms) {
    struct gw_config config = config_brisk();
    config.idle_ms = idle_ms;
    struct world w;
    gw_conn_id quiet, talking, patient;
    world_open(&w, &config);
    const int quiet_fd = client_open(&w, &quiet), talking_fd = client_open(&w, &talking);
    const int patient_fd = client_open(&w, &patient);
    const int spared = gw_conn_set_idle(w.reactor, patient, 0);
    const uint64_t begin = world_now_ms();
    uint64_t last = begin, longest = 0;
    while (last - begin < 4 * (uint64_t)idle_ms && longest < idle_ms / 2) {
        (void)send(talking_fd, "\x8a\x80\0\0\0\0", 6, MSG_NOSIGNAL | MSG_DONTWAIT);   // a pong
        world_turn_for(&w, idle_ms / 10);
        const uint64_t now = world_now_ms();
        longest = now - last > longest ? now - last : longest;
        last = now;
    }
    const int counts = spared == 0 && longest < idle_ms / 2;
    if (counts) {
        CHECK(world_count(&w, GW_EVENT_CLOSED) == 1);
        CHECK(world_await(&w, GW_EVENT_CLOSED, 0)->conn == quiet);
        CHECK(world_await(&w, GW_EVENT_CLOSED, 0)->code == 1001);
        CHECK(client_read_close(&w, quiet_fd) == 1001);
        CHECK(gw_conn_set_idle(w.reactor, patient, 50) == 0);
        // The one that talked may be next, for now it is silent, too.
        const size_t next = world_await(&w, GW_EVENT_CLOSED, 1)->conn == talking ? 2 : 1;
        CHECK(world_await(&w, GW_EVENT_CLOSED, next)->conn == patient);
    }
    close(quiet_fd);
    close(talking_fd);
    close(patient_fd);
    world_close(&w);
    return counts;
}

static void idle__ends_a_silent_connection_and_spares_a_talking_one(void) {
    uint32_t idle_ms = 150;
    while (!idle_is_told_apart(idle_ms)) {
        idle_ms *= 2;
        CHECK(idle_ms < 10000);
    }
}

static void strerror__names_every_code(void) {
    for (int error = GW_ENOCONN; error >= GW_ETLS_MISMATCH; error--) {
        CHECK(strlen(gw_strerror(error)) > 10);
    }
    CHECK(strcmp(gw_strerror(-EADDRINUSE), "Address already in use") == 0);
    CHECK(strcmp(gw_strerror(-999999), "unknown error") == 0);
}

// What came whole before a broken frame is handed out, and its answer leaves before the close does.
static void close__of_a_broken_frame_comes_after_the_answers(void) {
    struct world w;
    const struct gw_config config = config_usual(8);
    world_open(&w, &config);
    w.echo = 1;
    uint8_t wire[256], payload[16];
    const int fd = client_open(&w, NULL);
    size_t length = frame_write(wire, 0x82, "one", 3);
    length += frame_write(wire + length, 0x89, "p", 1);
    length += frame_write(wire + length, 0x82, "two", 3);
    length += frame_write(wire + length, 0xF2, "bad", 3);
    length += frame_write(wire + length, 0x82, "late", 4);
    client_send(&w, fd, wire, length);
    const char *const answers[] = { "one", "p", "two" };
    for (size_t index = 0; index < 3; index++) {
        const struct frame frame = client_read_frame(&w, fd, payload, sizeof payload);
        CHECK(frame.length == strlen(answers[index]) && memcmp(payload, answers[index], frame.length) == 0);
    }
    CHECK(client_read_close(&w, fd) == 1002);
    close(fd);
    world_await(&w, GW_EVENT_CLOSED, 0);
    world_close(&w);
}

int main(void) {
    RUN(close__of_a_broken_frame_comes_after_the_answers);
    RUN(close__of_the_peer_is_echoed_and_told);
    RUN(close__of_ours_waits_for_the_answer);
    RUN(close__of_ours_ends_at_its_deadline);
    RUN(close__refuses_codes_that_may_not_be_sent);
    RUN(close__names_every_protocol_error);
    RUN(close__after_an_error_survives_a_peer_that_goes_on);
    RUN(close__is_abnormal_when_the_peer_vanishes);
    RUN(close__delivers_what_came_before_the_end);
    RUN(id__is_stale_after_closed_and_never_another_clients);
    RUN(idle__ends_a_silent_connection_and_spares_a_talking_one);
    RUN(strerror__names_every_code);
    return 0;
}
