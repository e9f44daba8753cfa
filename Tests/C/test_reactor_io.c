// The I/O interface over real loopback sockets: what every backend of the kernel's must do (TEST_IO says which).
#include <fcntl.h>
#include <pthread.h>
#include <sys/resource.h>

#include "gateway_client.h"
#include "gw_io_epoll.h"
#include "gw_io_uring.h"

enum { EVENTS = 64, BUFFER_BYTES = 4096 };

struct rig {
    struct gw_io *io;
    int port;
    unsigned accepted, ended, closed, sent;
    uint32_t socket;            // of the latest accepted
    int32_t ended_result, sent_result;
    uint32_t held[EVENTS * 16]; // receive buffers not given back
    unsigned held_count;
    uint64_t received_bytes;
    int keep_buffers;
};

static int rig_create(const struct gw_io_config *config, struct gw_io **io) {
    return test_backend() == GW_BACKEND_EPOLL ? gw_io_epoll_create(config, io) : gw_io_uring_create(config, io);
}

static void rig_open(struct rig *rig, uint32_t sockets, uint32_t buffers) {
    const struct gw_io_config config = {
        .sockets_max = sockets, .receive_buffers = buffers, .receive_buffer_bytes = BUFFER_BYTES,
    };
    *rig = (struct rig){ 0 };
    CHECK(rig_create(&config, &rig->io) == 0);
    rig->port = gw_io_listen(rig->io, "127.0.0.1", 0, 0);
    CHECK(rig->port > 0);
}

static void rig_turn(struct rig *rig) {
    struct gw_io_event events[EVENTS];
    const int count = gw_io_turn(rig->io, 1000000, events, EVENTS);
    CHECK(count >= 0);
    for (int i = 0; i < count; i++) {
        switch (events[i].kind) {
        case GW_IO_ACCEPTED:
            rig->accepted++;
            rig->socket = events[i].socket;
            gw_io_receive_start(rig->io, events[i].socket);
            break;
        case GW_IO_RECEIVED:
            rig->received_bytes += events[i].bytes;
            if (rig->keep_buffers) {
                rig->held[rig->held_count++] = events[i].buffer;
            } else {
                gw_io_buffers_return(rig->io, &events[i].buffer, 1);
            }
            break;
        case GW_IO_ENDED:
            rig->ended++;
            rig->ended_result = events[i].result;
            break;
        case GW_IO_SENT:
            rig->sent++;
            rig->sent_result = events[i].result;
            break;
        case GW_IO_CLOSED:
            rig->closed++;
            break;
        }
    }
}

#define TURN_UNTIL(rig, condition)                              \
    do {                                                        \
        const uint64_t end = world_now_ms() + WORLD_PATIENCE_MS; \
        while (!(condition)) {                                  \
            CHECK(world_now_ms() < end);                        \
            rig_turn(rig);                                      \
        }                                                       \
    } while (0)

static int rig_connect(struct rig *rig) {
    struct world address_only = { .port = rig->port };
    return client_connect(&address_only);
}

static void io__accepts_receives_sends_and_closes(void) {
    struct rig rig;
    rig_open(&rig, 16, 8);
    const int fd = rig_connect(&rig);
    TURN_UNTIL(&rig, rig.accepted == 1);
    CHECK(send(fd, "hello", 5, 0) == 5);
    TURN_UNTIL(&rig, rig.received_bytes == 5);

    char first[] = "one ", second[] = "send";
    const struct iovec iov[2] = { { first, 4 }, { second, 4 } };
    char answer[9] = { 0 };
    gw_io_send(rig.io, rig.socket, iov, 2);
    TURN_UNTIL(&rig, rig.sent == 1);
    CHECK(rig.sent_result == 8);
    CHECK(recv(fd, answer, 8, MSG_WAITALL) == 8 && strcmp(answer, "one send") == 0);

    gw_io_close(rig.io, rig.socket);
    TURN_UNTIL(&rig, rig.closed == 1);
    CHECK(recv(fd, answer, 1, 0) == 0);
    CHECK(rig.ended == 0);
    close(fd);
    gw_io_destroy(rig.io);
}

static void io__tells_the_peers_end_and_half_closes(void) {
    struct rig rig;
    char byte;
    rig_open(&rig, 16, 8);
    const int fd = rig_connect(&rig);
    TURN_UNTIL(&rig, rig.accepted == 1);
    gw_io_shutdown(rig.io, rig.socket);
    rig_turn(&rig);
    CHECK(recv(fd, &byte, 1, 0) == 0);
    CHECK(send(fd, "x", 1, 0) == 1);
    TURN_UNTIL(&rig, rig.received_bytes == 1);
    close(fd);
    TURN_UNTIL(&rig, rig.ended == 1);
    CHECK(rig.ended_result == 0);
    gw_io_destroy(rig.io);
}

static void io__sends_more_than_a_socket_takes_piecewise(void) {
    struct rig rig;
    enum { BYTES = 8 << 20 };
    char *bytes = calloc(1, BYTES);
    rig_open(&rig, 16, 8);
    const int fd = rig_connect(&rig);
    TURN_UNTIL(&rig, rig.accepted == 1);
    size_t queued = 0, received = 0;
    unsigned sends = 0;
    const uint64_t end = world_now_ms() + WORLD_PATIENCE_MS;
    while (received < BYTES) {
        CHECK(world_now_ms() < end);
        if (rig.sent == sends && queued < BYTES) {
            queued += sends > 0 ? (size_t)rig.sent_result : 0;
            CHECK(sends == 0 || rig.sent_result > 0);
            if (queued < BYTES) {
                const struct iovec iov = { bytes + queued, BYTES - queued };
                gw_io_send(rig.io, rig.socket, &iov, 1);
                sends++;
            }
        }
        rig_turn(&rig);
        char sink[65536];
        const ssize_t some = recv(fd, sink, sizeof sink, MSG_DONTWAIT);
        received += some > 0 ? (size_t)some : 0;
    }
    CHECK(sends > 1);
    close(fd);
    free(bytes);
    gw_io_destroy(rig.io);
}

static void io__close_gives_up_a_stuck_send(void) {
    struct rig rig;
    enum { BYTES = 16 << 20 };
    char *bytes = calloc(1, BYTES);
    rig_open(&rig, 16, 8);
    const int fd = rig_connect(&rig);
    TURN_UNTIL(&rig, rig.accepted == 1);
    const struct iovec iov = { bytes, BYTES };
    gw_io_send(rig.io, rig.socket, &iov, 1);
    TURN_UNTIL(&rig, rig.sent == 1);
    gw_io_send(rig.io, rig.socket, &iov, 1);
    rig_turn(&rig);
    rig_turn(&rig);
    gw_io_close(rig.io, rig.socket);
    TURN_UNTIL(&rig, rig.closed == 1);
    free(bytes);
    close(fd);
    gw_io_destroy(rig.io);
}

static void io__goes_on_receiving_after_the_ring_ran_dry(void) {
    struct rig rig;
    rig_open(&rig, 16, 2);
    rig.keep_buffers = 1;
    int fds[4];
    for (unsigned i = 0; i < 4; i++) {
        fds[i] = rig_connect(&rig);
        TURN_UNTIL(&rig, rig.accepted == i + 1);
    }
    for (unsigned i = 0; i < 4; i++) {
        CHECK(send(fds[i], "12345678", 8, 0) == 8);
    }
    for (unsigned i = 0; i < 20; i++) {
        rig_turn(&rig);
    }
    struct gw_io_stats stats;
    gw_io_read_stats(rig.io, &stats);
    CHECK(rig.held_count == 2 && stats.receive_starved >= 2);
    const uint64_t calls = stats.receive_starved;
    for (unsigned i = 0; i < 20; i++) {
        rig_turn(&rig);
    }
    gw_io_read_stats(rig.io, &stats);
    CHECK(stats.receive_starved == calls);   // nobody tries while there is nothing to receive into
    rig.keep_buffers = 0;
    gw_io_buffers_return(rig.io, rig.held, rig.held_count);
    TURN_UNTIL(&rig, rig.received_bytes == 32);
    for (unsigned i = 0; i < 4; i++) {
        close(fds[i]);
    }
    gw_io_destroy(rig.io);
}

static void io__pauses_and_resumes_a_stream(void) {
    struct rig rig;
    rig_open(&rig, 16, 8);
    const int fd = rig_connect(&rig);
    TURN_UNTIL(&rig, rig.accepted == 1);
    rig_turn(&rig);
    gw_io_receive_pause(rig.io, rig.socket);
    rig_turn(&rig);
    rig_turn(&rig);
    CHECK(send(fd, "later", 5, 0) == 5);
    for (unsigned i = 0; i < 20; i++) {
        rig_turn(&rig);
    }
    CHECK(rig.received_bytes == 0);
    gw_io_receive_start(rig.io, rig.socket);
    TURN_UNTIL(&rig, rig.received_bytes == 5);

    gw_io_receive_pause(rig.io, rig.socket);   // and at once again: the pause is overtaken
    gw_io_receive_start(rig.io, rig.socket);
    CHECK(send(fd, "again", 5, 0) == 5);
    TURN_UNTIL(&rig, rig.received_bytes == 10);
    close(fd);
    gw_io_destroy(rig.io);
}

static void io__lets_the_backlog_wait_while_all_sockets_are_in_use(void) {
    struct rig rig;
    rig_open(&rig, 3, 8);
    int fds[5];
    uint32_t sockets[5];
    for (unsigned i = 0; i < 5; i++) {
        fds[i] = rig_connect(&rig);
        if (i < 3) {
            TURN_UNTIL(&rig, rig.accepted == i + 1);
            sockets[i] = rig.socket;
        }
    }
    struct gw_io_stats before, after;
    for (unsigned i = 0; i < 5; i++) {
        rig_turn(&rig);
    }
    gw_io_read_stats(rig.io, &before);
    for (unsigned i = 0; i < 10; i++) {
        rig_turn(&rig);
    }
    gw_io_read_stats(rig.io, &after);
    CHECK(rig.accepted == 3 && after.syscalls - before.syscalls <= 10);   // a wait a turn, no spinning
    gw_io_close(rig.io, sockets[1]);
    TURN_UNTIL(&rig, rig.accepted == 4);
    CHECK(rig.socket == sockets[1]);
    gw_io_close(rig.io, sockets[0]);
    TURN_UNTIL(&rig, rig.accepted == 5);
    for (unsigned i = 0; i < 5; i++) {
        close(fds[i]);
    }
    gw_io_destroy(rig.io);
}

// Many short connections over few sockets: numbers are given out again all the time, and every one of them is
// accepted once and closed once.
static void io__reuses_sockets_under_churn(void) {
    struct rig rig;
    rig_open(&rig, 4, 8);
    enum { ROUNDS = 500 };
    for (unsigned round = 0; round < ROUNDS; round++) {
        const int fd = rig_connect(&rig);
        TURN_UNTIL(&rig, rig.accepted == round + 1);
        if (round % 2) {
            close(fd);
            TURN_UNTIL(&rig, rig.ended == rig.closed + 1 || rig.ended > round / 2);
            gw_io_close(rig.io, rig.socket);
        } else {
            gw_io_close(rig.io, rig.socket);
            close(fd);
        }
    }
    TURN_UNTIL(&rig, rig.closed == ROUNDS);
    gw_io_destroy(rig.io);
}

static void *wake_soon(void *argument) {
    struct gw_io *io = argument;
    usleep(20000);
    for (int i = 0; i < 1000; i++) {
        gw_io_wake(io);
    }
    return NULL;
}

static void io__wakes_from_another_thread(void) {
    struct rig rig;
    struct gw_io_event events[EVENTS];
    rig_open(&rig, 4, 8);
    CHECK(gw_io_turn(rig.io, 0, events, EVENTS) == 0);
    for (int round = 0; round < 5; round++) {
        pthread_t waker;
        const uint64_t begin = world_now_ms();
        CHECK(pthread_create(&waker, NULL, wake_soon, rig.io) == 0);
        CHECK(gw_io_turn(rig.io, UINT64_MAX, events, EVENTS) == 0);
        CHECK(world_now_ms() - begin < 5000);
        pthread_join(waker, NULL);
        CHECK(gw_io_turn(rig.io, 0, events, EVENTS) == 0);
    }
    gw_io_wake(rig.io);   // before the turn: it does not wait, and the one after it does
    CHECK(gw_io_turn(rig.io, UINT64_MAX, events, EVENTS) == 0);
    uint64_t begin = world_now_ms();
    while (world_now_ms() - begin < 30) {
        CHECK(gw_io_turn(rig.io, 40000000, events, EVENTS) == 0);
    }
    gw_io_destroy(rig.io);
}

static void io__waits_as_long_as_it_was_told(void) {
    struct rig rig;
    struct gw_io_event events[EVENTS];
    rig_open(&rig, 4, 8);
    const uint64_t begin = world_now_ms();
    CHECK(gw_io_turn(rig.io, 50000000, events, EVENTS) == 0);
    const uint64_t took = world_now_ms() - begin;
    CHECK(took >= 49 && took < 2000);
    gw_io_destroy(rig.io);
}

static void listen__refuses_a_port_in_use_and_shares_when_asked(void) {
    struct rig first;
    rig_open(&first, 4, 8);
    const struct gw_io_config config = { .sockets_max = 4, .receive_buffers = 8, .receive_buffer_bytes = 64 };
    struct gw_io *second;
    CHECK(rig_create(&config, &second) == 0);
    CHECK(gw_io_listen(second, "127.0.0.1", (uint16_t)first.port, 0) == -EADDRINUSE);
    CHECK(gw_io_listen(second, "127.0.0.1", (uint16_t)first.port, 1) == first.port);
    CHECK(gw_io_listen(second, "127.0.0.1", (uint16_t)first.port, 1) == -EALREADY);
    CHECK(gw_io_listen(first.io, "not an address", 0, 0) == -EALREADY);
    gw_io_destroy(first.io);
    gw_io_stop_listening(second);
    CHECK(gw_io_listen(second, "not an address", 0, 0) == -EINVAL);
    CHECK(gw_io_listen(second, "::1", 0, 0) > 0);
    gw_io_destroy(second);
}

static void listen__stops_and_starts_again(void) {
    struct rig rig;
    rig_open(&rig, 2000, 8);   // more than the backlog: a multishot accept
    int fd = rig_connect(&rig);
    TURN_UNTIL(&rig, rig.accepted == 1);
    close(fd);
    gw_io_stop_listening(rig.io);
    rig_turn(&rig);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)rig.port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) < 0 && errno == ECONNREFUSED);
    close(fd);
    rig.port = gw_io_listen(rig.io, "127.0.0.1", (uint16_t)rig.port, 0);
    CHECK(rig.port > 0);
    fd = rig_connect(&rig);
    TURN_UNTIL(&rig, rig.accepted == 2);
    close(fd);
    gw_io_destroy(rig.io);
}

static void create__refuses_what_it_cannot_do(void) {
    struct gw_io *io;
    struct gw_io_config config = { .sockets_max = 4, .receive_buffers = 3, .receive_buffer_bytes = 64 };
    CHECK(rig_create(&config, &io) == -EINVAL);
    config.receive_buffers = 65536;
    CHECK(rig_create(&config, &io) == -EINVAL);
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    config.receive_buffers = 4;
    config.sockets_max = (uint32_t)limit.rlim_max + 1;
    CHECK(rig_create(&config, &io) == -EMFILE);
}

int main(void) {
    RUN(io__accepts_receives_sends_and_closes);
    RUN(io__tells_the_peers_end_and_half_closes);
    RUN(io__sends_more_than_a_socket_takes_piecewise);
    RUN(io__close_gives_up_a_stuck_send);
    RUN(io__goes_on_receiving_after_the_ring_ran_dry);
    RUN(io__pauses_and_resumes_a_stream);
    RUN(io__lets_the_backlog_wait_while_all_sockets_are_in_use);
    RUN(io__reuses_sockets_under_churn);
    RUN(io__wakes_from_another_thread);
    RUN(io__waits_as_long_as_it_was_told);
    RUN(listen__refuses_a_port_in_use_and_shares_when_asked);
    RUN(listen__stops_and_starts_again);
    RUN(create__refuses_what_it_cannot_do);
    return 0;
}
