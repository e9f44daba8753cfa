// Every bound reached: queues, buffers, connections, receive ring; and the reactor's own life.
#include <pthread.h>

#include "gateway_client.h"

static struct gw_config config_small(void) {
    struct gw_config config = config_usual(64);
    config.message_bytes_max = 65536;
    config.outbound_bytes_max = 65536;
    return config;
}

static const uint8_t *zeros(void) {
    static const uint8_t bytes[65536];
    return bytes;
}

// Sends until the queue refuses, turning in between; the peer does not read.
static uint64_t fill_queue(struct world *w, gw_conn_id id, uint64_t length) {
    uint64_t sent = 0;
    int error;
    while ((error = gw_conn_send(w->reactor, id, GW_BINARY, zeros(), length)) == 0) {
        sent++;
        world_turn(w, 0);
        CHECK(sent < 1000000);
    }
    CHECK(error == GW_EFULL);
    return sent;
}

static void queue__is_full_once_and_writable_when_half_drained(void) {
    const struct gw_config config = config_small();
    struct world w;
    gw_conn_id id;
    world_open(&w, &config);
    const int fd = client_open_sized(&w, &id, 4096);
    const uint64_t sent = fill_queue(&w, id, 5000);
    CHECK(gw_conn_send(w.reactor, id, GW_TEXT, NULL, 0) == GW_EFULL);
    CHECK(world_stats(&w).pool_bytes < 4 * 65536);
    world_turn_for(&w, 30);
    CHECK(world_count(&w, GW_EVENT_WRITABLE) == 0);
    uint8_t *sink = malloc(5000);
    for (uint64_t i = 0; i < sent; i++) {
        const struct frame frame = client_read_frame(&w, fd, sink, 5000);
        CHECK(frame.first == 0x82 && frame.length == 5000);
    }
    world_turn_for(&w, 20);
    CHECK(world_count(&w, GW_EVENT_WRITABLE) == 1 && w.seen_count == 2);
    CHECK(gw_conn_send(w.reactor, id, GW_TEXT, (const uint8_t *)"ok", 2) == 0);
    CHECK(client_read_frame(&w, fd, sink, 5000).length == 2);
    CHECK(world_stats(&w).pool_bytes == 0);
    free(sink);
    close(fd);
    world_close(&w);
}

// One takes nothing, one takes a little at a time. 0: a busy machine has kept the slow one from reading for so long that
// the case says nothing.
static int stuck_is_told_from_slow(uint32_t stall_ms) {
    struct gw_config config = config_small();
    config.write_stall_ms = stall_ms;
    struct world w;
    gw_conn_id stuck, slow;
    world_open(&w, &config);
    const int stuck_fd = client_open_sized(&w, &stuck, 4096), slow_fd = client_open(&w, &slow);
    const uint64_t begin = world_now_ms();
    fill_queue(&w, stuck, 5000);
    uint64_t last = world_now_ms(), longest = 0;
    fill_queue(&w, slow, 5000);
    while (world_count(&w, GW_EVENT_CLOSED) == 0 && longest < stall_ms / 2) {
        uint8_t some[262144];
        CHECK(client_receive_some(&w, slow_fd, some, sizeof some, WORLD_PATIENCE_MS) > 0);   // reads, but slowly
        world_turn_for(&w, 10);
        while (gw_conn_send(w.reactor, slow, GW_BINARY, zeros(), 5000) == 0) {
        }
        const uint64_t now = world_now_ms();
        longest = now - last > longest ? now - last : longest;
        last = now;
        CHECK(now - begin < WORLD_PATIENCE_MS);
    }
    const int counts = longest < stall_ms / 2;
    if (counts) {
        CHECK(world_now_ms() - begin + 5 >= stall_ms);
        const struct seen *closed = world_await(&w, GW_EVENT_CLOSED, 0);
        CHECK(closed->conn == stuck && closed->code == 1006 && world_count(&w, GW_EVENT_CLOSED) == 1);
    }
    close(stuck_fd);
    close(slow_fd);
    world_close(&w);
    return counts;
}

static void queue__that_does_not_move_ends_the_connection(void) {
    uint32_t stall_ms = 150;
    while (!stuck_is_told_from_slow(stall_ms)) {
        stall_ms *= 2;
        CHECK(stall_ms < 10000);
    }
}

// An echo loses nothing to a peer that sends without reading: its messages wait in the socket.
static void echo__to_a_peer_that_does_not_read_loses_nothing(void) {
    struct gw_config config = config_small();
    config.receive_buffers = 16;
    enum { COUNT = 20000, LENGTH = 1000 };
    struct world w;
    world_open(&w, &config);
    w.echo = 1;
    const int fd = client_open_sized(&w, NULL, 65536), other = client_open(&w, NULL);
    uint8_t *bytes = malloc(LENGTH + 14), *payload = calloc(1, LENGTH);
    size_t sent = 0, offset = 0, length = 0;
    const uint64_t begin = world_now_ms();
    uint64_t moved = begin;
    while (world_now_ms() - moved < 100 && sent < COUNT) {   // until nothing moves any more
        if (offset == length) {
            memcpy(payload, &sent, sizeof sent);
            length = frame_write(bytes, 0x82, payload, LENGTH);
            offset = 0;
        }
        const ssize_t some = send(fd, bytes + offset, length - offset, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (some > 0) {
            offset += (size_t)some;
            sent += offset == length;
            moved = world_now_ms();
        } else {
            world_turn(&w, 1);
        }
    }
    CHECK(sent < COUNT);
    // The queue, and what was in flight when it became half full: nothing that grows with what the peer sends.
    CHECK(world_stats(&w).pool_bytes <= config.outbound_bytes_max + 2 * config.receive_buffers * 32768);
    uint8_t pong[125];
    client_send_frame(&w, other, 0x89, "alive", 5);   // and the others do not suffer
    CHECK(client_read_frame(&w, other, pong, sizeof pong).length == 5);
    for (size_t i = 0; i < sent; i++) {
        size_t number;
        CHECK(client_read_frame(&w, fd, payload, LENGTH).length == LENGTH);
        memcpy(&number, payload, sizeof number);
        CHECK(number == i);
    }
    CHECK(w.echo_refused == 0);
    free(bytes);
    free(payload);
    close(fd);
    close(other);
    world_close(&w);
}

static void pool__exhausted_is_an_error_and_writable_follows(void) {
    struct gw_config config = config_small();
    config.pool_bytes_max = 256 << 10;
    config.outbound_bytes_max = 1 << 20;
    struct world w;
    gw_conn_id greedy, modest;
    struct gw_frame *frames[64];
    unsigned count = 0;
    world_open(&w, &config);
    const int greedy_fd = client_open(&w, &greedy), modest_fd = client_open(&w, &modest);
    int error;
    while ((error = gw_frame_create(w.reactor, GW_BINARY, zeros(), 20000, &frames[count])) == 0) {
        CHECK(++count < 64);
    }
    CHECK(error == GW_ENOBUFS && frames[count] == NULL);
    while ((error = gw_conn_send(w.reactor, greedy, GW_BINARY, zeros(), 400)) == 0) {
    }
    CHECK(error == GW_ENOBUFS);
    // Too long to leave without a buffer.
    CHECK(gw_conn_send(w.reactor, modest, GW_BINARY, zeros(), 4000) == GW_ENOBUFS);
    CHECK(gw_frame_create(w.reactor, GW_BINARY, zeros(), 70000000, &frames[count]) == GW_ETOOBIG);
    CHECK(gw_conn_send(w.reactor, greedy, GW_BINARY, zeros(), 70000000) == GW_ETOOBIG);
    client_send_frame(&w, modest_fd, 0x89, "p", 1);   // no buffer for its pong: it is not answered, no more
    const int refused = client_connect(&w);
    client_send(&w, refused, UPGRADE_REQUEST, sizeof UPGRADE_REQUEST - 1);
    world_turn_for(&w, 30);
    for (unsigned i = 0; i < count; i++) {
        gw_frame_release(w.reactor, frames[i]);
    }
    size_t n = 0;
    while (world_await(&w, GW_EVENT_WRITABLE, n)->conn != modest) {
        n++;
    }
    CHECK(gw_conn_send(w.reactor, modest, GW_TEXT, (const uint8_t *)"x", 1) == 0);
    uint8_t sink[125];
    while (client_read_frame(&w, modest_fd, sink, sizeof sink).first != 0x81) {
    }
    close(greedy_fd);
    close(modest_fd);
    close(refused);
    CHECK(world_await(&w, GW_EVENT_CLOSED, 1) != NULL);
    world_turn_for(&w, 20);
    CHECK(world_stats(&w).pool_bytes == 0);
    world_close(&w);
}

static void pool__exhausted_by_messages_to_join_closes_with_1013(void) {
    struct gw_config config = config_small();
    config.pool_bytes_max = 256 << 10;
    struct world w;
    struct gw_frame *frames[2];
    world_open(&w, &config);
    const int fd = client_open(&w, NULL);
    for (int i = 0; i < 2; i++) {
        CHECK(gw_frame_create(w.reactor, GW_BINARY, zeros(), 65536, &frames[i]) == 0);
    }
    client_send_frame(&w, fd, 0x02, zeros(), 30000);
    CHECK(world_await(&w, GW_EVENT_CLOSED, 0)->code == 1013);
    for (int i = 0; i < 2; i++) {
        gw_frame_release(w.reactor, frames[i]);
    }
    close(fd);
    world_close(&w);
}

// An idle connection whose close frame found no buffer, with a send under way: its slot's next owner must not meet
// a timer of it (the wheel's list would be torn, and a turn would never end).
static void pool__exhausted_at_an_idle_end_leaves_no_timer(void) {
    struct gw_config config = config_small();
    config.connections_max = 1;
    config.pool_bytes_max = 256 << 10;
    config.outbound_bytes_max = 64 << 20;
    config.idle_ms = 100;
    config.write_stall_ms = 400;
    struct world w;
    struct gw_frame *shared, *frames[1024];
    gw_conn_id idle;
    unsigned count = 0;
    world_open(&w, &config);
    const int fd = client_open(&w, &idle);
    CHECK(gw_frame_create(w.reactor, GW_BINARY, zeros(), 60000, &shared) == 0);
    for (int i = 0; i < 400; i++) {   // more than the socket's buffers take: nobody reads
        CHECK(gw_conn_send_frame(w.reactor, idle, shared) == 0);
    }
    const uint32_t sizes[] = { 60000, 10000, 2000, 400, 1 };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        while (gw_frame_create(w.reactor, GW_BINARY, zeros(), sizes[i], &frames[count]) == 0) {
            CHECK(++count < 1024);
        }
    }
    CHECK(world_await(&w, GW_EVENT_CLOSED, 0)->conn == idle);
    for (unsigned i = 0; i < count; i++) {
        gw_frame_release(w.reactor, frames[i]);
    }
    gw_frame_release(w.reactor, shared);
    const int next_fd = client_open(&w, NULL);
    world_turn_for(&w, 600);   // past the stall deadline of the first
    close(next_fd);
    CHECK(world_await(&w, GW_EVENT_CLOSED, 1)->conn != idle);
    world_turn_for(&w, 20);
    CHECK(world_stats(&w).pool_bytes == 0);
    close(fd);
    world_close(&w);
}

static void receive__recovers_from_a_ring_that_ran_dry(void) {
    struct gw_config config = config_small();
    config.receive_buffers = 2;
    config.receive_buffer_bytes = 128;
    enum { CLIENTS = 40, ROUNDS = 20 };
    struct world w;
    int fds[CLIENTS];
    world_open(&w, &config);
    w.echo = 1;
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = client_open(&w, NULL);
    }
    for (int round = 0; round < ROUNDS; round++) {
        uint8_t payload[300], answer[300];
        for (int i = 0; i < CLIENTS; i++) {
            memset(payload, i + round, sizeof payload);
            client_send_frame(&w, fds[i], 0x82, payload, sizeof payload);
        }
        for (int i = 0; i < CLIENTS; i++) {
            memset(payload, i + round, sizeof payload);
            CHECK(client_read_frame(&w, fds[i], answer, sizeof answer).length == sizeof answer);
            CHECK(memcmp(payload, answer, sizeof answer) == 0);
        }
    }
    CHECK(world_stats(&w).receive_starved > 0 && w.echo_refused == 0);
    for (int i = 0; i < CLIENTS; i++) {
        close(fds[i]);
    }
    world_close(&w);
}

static void connections__over_the_limit_wait_in_the_backlog(void) {
    struct gw_config config = config_small();
    config.connections_max = 3;
    struct world w;
    int fds[5];
    world_open(&w, &config);
    for (int i = 0; i < 3; i++) {
        fds[i] = client_open(&w, NULL);
    }
    for (int i = 3; i < 5; i++) {
        fds[i] = client_connect(&w);
        client_send(&w, fds[i], UPGRADE_REQUEST, sizeof UPGRADE_REQUEST - 1);
    }
    world_turn_for(&w, 30);
    CHECK(world_stats(&w).connections == 3);
    char head[1024];
    for (int i = 3; i < 5; i++) {
        close(fds[i - 3]);
        CHECK(client_read_response(&w, fds[i], head, sizeof head) == 101);
    }
    CHECK(world_stats(&w).accepted == 5 && world_stats(&w).connections == 3);
    for (int i = 2; i < 5; i++) {
        close(fds[i]);
    }
    world_close(&w);
}

static void connections__come_and_go_by_the_thousand(void) {
    struct gw_config config = config_small();
    config.connections_max = 8;
    struct world w;
    world_open(&w, &config);
    w.echo = 1;
    for (int i = 0; i < 1000; i++) {
        uint8_t payload[125];
        const int fd = client_open(&w, NULL);
        client_send_frame(&w, fd, 0x81, "x", 1);
        CHECK(client_read_frame(&w, fd, payload, sizeof payload).length == 1);
        if (i % 3 == 0) {
            client_send_close(&w, fd, 1000);
        }
        close(fd);
        CHECK(world_await(&w, GW_EVENT_CLOSED, 0) != NULL);
        world_forget(&w);
    }
    world_turn_for(&w, 20);
    const struct gw_stats stats = world_stats(&w);
    CHECK(stats.accepted == 1000 && stats.closed == 1000 && stats.connections == 0 && stats.pool_bytes == 0);
    world_close(&w);
}

static void listen__finds_a_port_in_use(void) {
    const struct gw_config config = config_small();
    struct world w, other;
    world_open(&w, &config);
    world_open(&other, &config);
    gw_reactor_stop_listening(other.reactor);
    CHECK(gw_reactor_listen(other.reactor, "127.0.0.1", (uint16_t)w.port, 0) == -EADDRINUSE);
    CHECK(gw_reactor_listen(other.reactor, "127.0.0.1", (uint16_t)w.port, 1) == w.port);
    gw_reactor_stop_listening(w.reactor);
    world_turn_for(&w, 10);
    other.port = w.port;
    close(client_open(&other, NULL));
    world_close(&w);
    world_close(&other);
}

static void *wake_later(void *argument) {
    usleep(20000);
    gw_reactor_wake(argument);
    return NULL;
}

static void wake__ends_a_wait_from_another_thread(void) {
    const struct gw_config config = config_small();
    struct world w;
    pthread_t thread;
    const struct gw_event *events;
    world_open(&w, &config);
    const uint64_t begin = world_now_ms();
    CHECK(pthread_create(&thread, NULL, wake_later, w.reactor) == 0);
    CHECK(gw_reactor_turn(w.reactor, UINT64_MAX, &events) == 0);
    CHECK(world_now_ms() - begin < WORLD_PATIENCE_MS);
    pthread_join(thread, NULL);
    world_close(&w);
}

struct elsewhere {
    struct gw_reactor *reactor;
    unsigned echoed;
};

static void *turn_elsewhere(void *argument) {
    struct elsewhere *elsewhere = argument;
    for (;;) {
        const struct gw_event *events;
        const int count = gw_reactor_turn(elsewhere->reactor, UINT64_MAX, &events);
        CHECK(count >= 0);
        for (int i = 0; i < count; i++) {
            if (events[i].kind == GW_EVENT_MESSAGE) {
                elsewhere->echoed++;
                CHECK(gw_conn_send(elsewhere->reactor, events[i].conn, GW_TEXT, events[i].data, events[i].length) == 0);
            } else if (events[i].kind == GW_EVENT_CLOSED) {
                gw_reactor_destroy(elsewhere->reactor);
                return NULL;
            }
        }
    }
}

// Created here, turned and destroyed there.
static void reactor__belongs_to_the_thread_that_turns_it(void) {
    struct gw_config config = config_small();
    config.backend = (uint8_t)test_backend();
    if (test_over_tls()) {
        config_secure(&config);
    }
    struct world w = { 0 };
    struct elsewhere elsewhere = { 0 };
    pthread_t thread;
    CHECK(gw_reactor_create(&config, &elsewhere.reactor) == 0);
    w.port = gw_reactor_listen(elsewhere.reactor, "127.0.0.1", 0, 0);
    CHECK(pthread_create(&thread, NULL, turn_elsewhere, &elsewhere) == 0);
    const int fd = client_connect(&w);
    uint8_t bytes[1024];
    CHECK(send(fd, UPGRADE_REQUEST, sizeof UPGRADE_REQUEST - 1, 0) > 0);
    CHECK(recv(fd, bytes, sizeof bytes, 0) > 100);
    for (unsigned i = 1; i <= 100; i++) {
        CHECK(send(fd, bytes, frame_write(bytes, 0x81, "echo", 4), 0) == 10);
        CHECK(recv(fd, bytes, 6, MSG_WAITALL) == 6);
    }
    close(fd);
    pthread_join(thread, NULL);
    CHECK(elsewhere.echoed == 100);
}

// Under every state a connection can be in; the sanitizer sees whether anything is left.
static void reactor__destroyed_with_open_connections_frees_all(void) {
    struct gw_config config = config_small();
    struct world w;
    gw_conn_id id, closing;
    world_open(&w, &config);
    const int open_fd = client_open(&w, NULL), full_fd = client_open_sized(&w, &id, 4096);
    const int joining = client_open(&w, NULL), shaking = client_connect(&w), closing_fd = client_open(&w, &closing);
    const int split_ping = client_open(&w, NULL);
    fill_queue(&w, id, 5000);
    client_send_frame(&w, joining, 0x01, "part", 4);
    client_send(&w, split_ping, "\x89\x84\0\0\0\0pi", 8);
    client_send(&w, shaking, UPGRADE_REQUEST, 30);
    CHECK(gw_conn_close(w.reactor, closing, 1000, NULL) == 0);
    world_turn_for(&w, 20);
    CHECK(gw_conn_send(w.reactor, id, GW_TEXT, NULL, 0) == GW_EFULL);
    world_close(&w);
    char byte;
    CHECK(recv(open_fd, &byte, 1, 0) <= 0);
    const int fds[] = { open_fd, full_fd, joining, shaking, closing_fd, split_ping };
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        close(fds[i]);
    }
}

static void config__out_of_range_is_refused(void) {
    struct gw_reactor *reactor;
    struct gw_config config = config_small();
    config.receive_buffers = 3;
    CHECK(gw_reactor_create(&config, &reactor) == GW_EINVAL);
    config = config_small();
    config.path = "ws";
    CHECK(gw_reactor_create(&config, &reactor) == GW_EINVAL);
    config = config_small();
    config.backend = GW_BACKEND_EPOLL + 1;
    CHECK(gw_reactor_create(&config, &reactor) == GW_EINVAL);
    config = config_small();
    config.backend = (uint8_t)test_backend();
    config.connections_max = 1000000;
    CHECK(gw_reactor_create(&config, &reactor) == -EMFILE && reactor == NULL);
    config = config_small();
    config.pool_bytes_max = 1000;
    CHECK(gw_reactor_create(&config, &reactor) < 0 && reactor == NULL);
}

int main(void) {
    RUN(queue__is_full_once_and_writable_when_half_drained);
    RUN(queue__that_does_not_move_ends_the_connection);
    RUN(echo__to_a_peer_that_does_not_read_loses_nothing);
    RUN_PLAIN(pool__exhausted_is_an_error_and_writable_follows);
    RUN_PLAIN(pool__exhausted_by_messages_to_join_closes_with_1013);
    RUN(pool__exhausted_at_an_idle_end_leaves_no_timer);
    RUN(receive__recovers_from_a_ring_that_ran_dry);
    RUN_PLAIN(connections__over_the_limit_wait_in_the_backlog);
    RUN(connections__come_and_go_by_the_thousand);
    RUN(listen__finds_a_port_in_use);
    RUN(wake__ends_a_wait_from_another_thread);
    RUN(reactor__belongs_to_the_thread_that_turns_it);
    RUN(reactor__destroyed_with_open_connections_frees_all);
    RUN(config__out_of_range_is_refused);
    return 0;
}
