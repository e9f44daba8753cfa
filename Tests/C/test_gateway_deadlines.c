// Every deadline of a connection: it ends one that deserves it, not before its time and not long after, and spares one
// that does not. And the slow consumer: what it misses, and that nobody else misses anything.
#include "gateway_client.h"

// LATE: what a busy machine may add; the wheel itself adds two ticks.
enum { DEADLINE_MS = 200, NEVER_MS = 60000, LATE_MS = 10000 };

static struct gw_config config_patient(void) {
    struct gw_config config = config_usual(64);
    config.message_bytes_max = 65536;
    config.outbound_bytes_max = 65536;
    config.handshake_ms = config.write_stall_ms = config.close_ms = NEVER_MS;
    config.idle_ms = 0;
    return config;
}

// Turns until the reactor has no connection, and returns how long that took.
static uint64_t ms_until_all_are_gone(struct world *w, uint64_t begin) {
    while (world_stats(w).connections > 0) {
        world_turn(w, 5);
        CHECK(world_now_ms() - begin < WORLD_PATIENCE_MS);
    }
    return world_now_ms() - begin;
}

static void expect_in_time_of(uint64_t deadline_ms, uint64_t took_ms) {
    if (took_ms + 5 < deadline_ms || took_ms > deadline_ms + LATE_MS) {
        fprintf(stderr, "the end came after %llu ms\n", (unsigned long long)took_ms);
    }
    CHECK(took_ms + 5 >= deadline_ms && took_ms <= deadline_ms + LATE_MS);
}

static void expect_in_time(uint64_t took_ms) { expect_in_time_of(DEADLINE_MS, took_ms); }

static void stuff(struct world *w, gw_conn_id id) {
    static const uint8_t zeros[5000];
    int error;
    while ((error = gw_conn_send(w->reactor, id, GW_BINARY, zeros, sizeof zeros)) == 0) {
        world_turn(w, 0);
    }
    CHECK(error == GW_EFULL);
}

static void handshake__deadline_ends_a_silent_and_a_dripping_client(void) {
    struct gw_config config = config_patient();
    config.handshake_ms = DEADLINE_MS;
    for (int drips = 0; drips < 2; drips++) {
        struct world w;
        world_open(&w, &config);
        const uint64_t begin = world_now_ms();
        const int fd = client_connect(&w);
        while (world_stats(&w).accepted == 0) {
            world_turn(&w, 1);
        }
        for (int at = 0; drips && at < 10; at++) {
            (void)send(fd, &UPGRADE_REQUEST[at], 1, MSG_NOSIGNAL | MSG_DONTWAIT);
            world_turn_for(&w, DEADLINE_MS / 20);
        }
        expect_in_time(ms_until_all_are_gone(&w, begin));
        CHECK(world_stats(&w).handshakes_failed == 1 && w.seen_count == 0);
        close(fd);
        world_close(&w);
    }
}

// One says nothing, one half a message in bytes. 0: a busy machine has kept the second from it for so long that the case
// says nothing.
static int silence_is_told_apart(uint32_t deadline_ms) {
    struct gw_config config = config_patient();
    config.idle_ms = deadline_ms;
    config.idle_code = 4001;
    struct world w;
    gw_conn_id silent;
    world_open(&w, &config);
    const uint64_t begin = world_now_ms();
    const int silent_fd = client_open(&w, &silent), alive_fd = client_open(&w, NULL);
    uint64_t ended = 0, last = begin, longest = 0;
    client_send(&w, alive_fd, "\x81\xff\0\0\0\0\0\x01\0\0\0\0\0\0", 14);   // 65,536 bytes, announced
    while (last - begin < 3 * (uint64_t)deadline_ms && longest < deadline_ms / 2) {
        (void)send(alive_fd, "x", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        world_turn_for(&w, deadline_ms / 8);
        const uint64_t now = world_now_ms();
        char byte;
        if (ended == 0 && recv(silent_fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1) {
            ended = now - begin;
        }
        longest = now - last > longest ? now - last : longest;
        last = now;
    }
    const int counts = longest < deadline_ms / 2;
    if (counts) {
        expect_in_time_of(deadline_ms, ended);
        CHECK(recv(alive_fd, &(char){ 0 }, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN);
        CHECK(client_read_close(&w, silent_fd) == 4001);
        client_send_close(&w, silent_fd, 4001);
        const struct seen *closed = world_await(&w, GW_EVENT_CLOSED, 0);
        CHECK(closed->conn == silent && closed->code == 4001 && world_count(&w, GW_EVENT_CLOSED) == 1);
    }
    close(silent_fd);
    close(alive_fd);
    world_close(&w);
    return counts;
}

// Any byte counts as a heartbeat, a pong as well as half a message; silence is answered with idle_code.
static void heartbeat__deadline_ends_the_silent_with_its_code(void) {
    uint32_t deadline_ms = DEADLINE_MS;
    while (!silence_is_told_apart(deadline_ms)) {
        deadline_ms *= 2;
        CHECK(deadline_ms < 10000);
    }
}

static void write_progress__deadline_ends_a_peer_that_takes_nothing(void) {
    struct gw_config config = config_patient();
    config.write_stall_ms = DEADLINE_MS;
    struct world w;
    gw_conn_id id;
    world_open(&w, &config);
    const int fd = client_open_sized(&w, &id, 4096);
    const uint64_t begin = world_now_ms();
    stuff(&w, id);
    expect_in_time(ms_until_all_are_gone(&w, begin));
    CHECK(world_await(&w, GW_EVENT_CLOSED, 0)->code == 1006);
    close(fd);
    world_close(&w);
}

static void close__deadline_ends_a_peer_that_does_not_answer(void) {
    struct gw_config config = config_patient();
    config.close_ms = DEADLINE_MS;
    struct world w;
    gw_conn_id id;
    world_open(&w, &config);
    const int fd = client_open(&w, &id);
    const uint64_t begin = world_now_ms();
    CHECK(gw_conn_close(w.reactor, id, 4000, NULL) == 0);
    while (world_now_ms() - begin < DEADLINE_MS / 2) {   // talk is no answer
        client_send_frame(&w, fd, 0x81, "more", 4);
        world_turn_for(&w, 10);
    }
    expect_in_time(ms_until_all_are_gone(&w, begin));
    CHECK(world_await(&w, GW_EVENT_CLOSED, 0)->code == 4000 && world_count(&w, GW_EVENT_MESSAGE) == 0);
    close(fd);
    world_close(&w);
}

// The answer to its close frame lies behind what it never read. (From half a queue on the close frame itself would wait
// to be read, and the deadline be that of write progress.)
static void close__deadline_ends_a_peer_that_does_not_read_our_answer(void) {
    struct gw_config config = config_patient();
    config.close_ms = DEADLINE_MS;
    config.outbound_bytes_max = 64 << 20;
    static const uint8_t zeros[5000];
    struct world w;
    gw_conn_id id;
    world_open(&w, &config);
    const int fd = client_open_sized(&w, &id, 4096);
    for (int full = 0; full < 20; full++) {   // turns after which something is still queued
        CHECK(gw_conn_send(w.reactor, id, GW_BINARY, zeros, sizeof zeros) == 0);
        world_turn(&w, 1);
        full = world_stats(&w).pool_bytes > 0 ? full : -1;
    }
    client_send_close(&w, fd, 1000);
    const uint64_t begin = world_now_ms();
    expect_in_time(ms_until_all_are_gone(&w, begin));
    CHECK(world_await(&w, GW_EVENT_CLOSED, 0)->code == 1000);
    close(fd);
    world_close(&w);
}

// After our last words the peer has close_ms to go, however much it still says.
static void refusal__deadline_ends_a_peer_that_stays(void) {
    struct gw_config config = config_patient();
    config.close_ms = DEADLINE_MS;
    for (int opened = 0; opened < 2; opened++) {
        struct world w;
        world_open(&w, &config);
        const int fd = opened ? client_open(&w, NULL) : client_connect(&w);
        const uint64_t begin = world_now_ms();
        client_send(&w, fd, "\xff\xff\xff\xff\n", 5);   // neither a request nor a frame
        while (recv(fd, &(char){ 0 }, 1, MSG_PEEK | MSG_DONTWAIT) < 0) {
            world_turn(&w, 1);
        }
        while (world_now_ms() - begin < DEADLINE_MS / 2) {
            client_send(&w, fd, "noise", 5);
            world_turn_for(&w, 10);
        }
        expect_in_time(ms_until_all_are_gone(&w, begin));
        CHECK(world_count(&w, GW_EVENT_CLOSED) == (size_t)opened);
        close(fd);
        world_close(&w);
    }
}

enum { FAN_FRAMES = 4000, FAN_BYTES = 1000, FAN_SOCKETS = 3 };

static struct gw_frame *numbered_frame(struct world *w, uint32_t number) {
    uint8_t payload[FAN_BYTES] = { 0 };
    struct gw_frame *frame;
    memcpy(payload, &number, sizeof number);
    CHECK(gw_frame_create(w->reactor, GW_BINARY, payload, sizeof payload, &frame) == 0);
    return frame;
}

static uint32_t read_number(struct world *w, int fd) {
    uint8_t payload[FAN_BYTES];
    uint32_t number;
    CHECK(client_read_frame(w, fd, payload, sizeof payload).length == FAN_BYTES);
    memcpy(&number, payload, sizeof number);
    return number;
}

// The policy of a full queue: the frame is refused, not the peer cut. It keeps what was queued, in order, and is told of
// when it takes more; the others get every frame meanwhile.
static void slow_consumer__misses_frames_and_stays_while_the_others_get_all(void) {
    struct gw_config config = config_patient();
    config.write_stall_ms = 5000;
    struct world w;
    gw_conn_id ids[FAN_SOCKETS];
    int fds[FAN_SOCKETS];
    world_open(&w, &config);
    for (int i = 0; i < FAN_SOCKETS; i++) {
        fds[i] = client_open_sized(&w, &ids[i], i == 0 ? 4096 : 0);
    }
    uint32_t queued = 0, refused = 0;
    for (uint32_t number = 0; number < FAN_FRAMES; number++) {
        struct gw_frame *frame = numbered_frame(&w, number);
        const int slow = gw_conn_send_frame(w.reactor, ids[0], frame);
        CHECK(slow == 0 || slow == GW_EFULL);
        // Refused from some frame on, without a hole before it.
        CHECK(slow == GW_EFULL || refused == 0);
        queued += slow == 0;
        refused += slow != 0;
        for (int i = 1; i < FAN_SOCKETS; i++) {
            CHECK(gw_conn_send_frame(w.reactor, ids[i], frame) == 0);
        }
        gw_frame_release(w.reactor, frame);
        for (int i = 1; i < FAN_SOCKETS; i++) {
            CHECK(read_number(&w, fds[i]) == number);
        }
        CHECK(world_stats(&w).pool_bytes <= 4 * config.outbound_bytes_max);
    }
    CHECK(refused > 0 && world_count(&w, GW_EVENT_CLOSED) == 0 && world_count(&w, GW_EVENT_WRITABLE) == 0);
    for (uint32_t number = 0; number < queued; number++) {
        CHECK(read_number(&w, fds[0]) == number);
    }
    CHECK(world_await(&w, GW_EVENT_WRITABLE, 0)->conn == ids[0]);
    struct gw_frame *frame = numbered_frame(&w, FAN_FRAMES);
    CHECK(gw_conn_send_frame(w.reactor, ids[0], frame) == 0);
    gw_frame_release(w.reactor, frame);
    CHECK(read_number(&w, fds[0]) == FAN_FRAMES && world_count(&w, GW_EVENT_CLOSED) == 0);
    for (int i = 0; i < FAN_SOCKETS; i++) {
        close(fds[i]);
    }
    world_close(&w);
}

int main(void) {
    RUN(handshake__deadline_ends_a_silent_and_a_dripping_client);
    RUN(heartbeat__deadline_ends_the_silent_with_its_code);
    RUN(write_progress__deadline_ends_a_peer_that_takes_nothing);
    RUN(close__deadline_ends_a_peer_that_does_not_answer);
    RUN(close__deadline_ends_a_peer_that_does_not_read_our_answer);
    RUN(refusal__deadline_ends_a_peer_that_stays);
    RUN(slow_consumer__misses_frames_and_stays_while_the_others_get_all);
    return 0;
}
