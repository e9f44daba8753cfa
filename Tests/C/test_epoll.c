// What only the epoll backend can meet: no descriptor left, an edge that tells of two things at once, receives into several
// buffers, a turn's bytes; and its front, whose rings are its own. What every backend does is test_reactor_io.c's.
#include <fcntl.h>
#include <linux/sockios.h>
#include <sys/ioctl.h>
#include <sys/resource.h>

#include "../../CSources/CReactor/gw_epoll.h"
#include "gateway_client.h"
#include "gw_io_epoll.h"

enum { SOCKETS = 16 };

static struct gw_io *epoll_open(uint32_t buffers, uint32_t buffer_bytes, uint16_t *port) {
    const struct gw_io_config config = { .sockets_max = SOCKETS, .receive_buffers = buffers,
                                         .receive_buffer_bytes = buffer_bytes };
    struct gw_io *io;
    CHECK(gw_io_epoll_create(&config, &io) == 0);
    const int bound = gw_io_listen(io, "127.0.0.1", 0, 0);
    CHECK(bound > 0);
    *port = (uint16_t)bound;
    return io;
}

// Turns until an event of the kind came, and returns it.
static struct gw_io_event epoll_await(struct gw_io *io, enum gw_io_kind kind) {
    const uint64_t end = world_now_ms() + WORLD_PATIENCE_MS;
    for (;;) {
        struct gw_io_event events[2];
        CHECK(world_now_ms() < end);
        const int count = gw_io_turn(io, 1000000, events, 2);
        CHECK(count >= 0);
        for (int i = 0; i < count; i++) {
            if (events[i].kind == kind) {
                CHECK(count == 1);
                return events[i];
            }
        }
    }
}

static void epoll__rests_without_a_descriptor_and_goes_on_when_told(void) {
    uint16_t port;
    struct gw_io *io = epoll_open(8, 4096, &port);
    struct world address_only = { .port = port };
    const int fd = client_connect(&address_only);
    struct rlimit limit;
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    const struct rlimit none = { .rlim_cur = 0, .rlim_max = limit.rlim_max };
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    CHECK(epoll_await(io, GW_IO_ACCEPT_FAILED).result == -EMFILE);
    struct gw_io_stats before, after;
    struct gw_io_event events[4];
    gw_io_read_stats(io, &before);
    for (int i = 0; i < 10; i++) {
        CHECK(gw_io_turn(io, 1000000, events, 4) == 0);
    }
    gw_io_read_stats(io, &after);
    CHECK(after.syscalls - before.syscalls == 10);   // it only waits
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    gw_io_accept_resume(io);
    (void)epoll_await(io, GW_IO_ACCEPTED);
    close(fd);
    gw_io_destroy(io);
}

// Until all that was sent has come to the other end.
static void await_arrival(int fd) {
    const uint64_t end = world_now_ms() + WORLD_PATIENCE_MS;
    for (int unacknowledged = 1; unacknowledged > 0; usleep(100)) {
        CHECK(ioctl(fd, SIOCOUTQ, &unacknowledged) == 0 && world_now_ms() < end);
    }
}

// The one edge tells of bytes and of the end; urgent data splits what one edge told of.
static void epoll__receives_to_the_end_on_one_edge(void) {
    for (int urgent = 0; urgent < 2; urgent++) {
        uint16_t port;
        struct gw_io *io = epoll_open(8, 4096, &port);
        struct world address_only = { .port = port };
        const int fd = client_connect(&address_only);
        const uint32_t socket = epoll_await(io, GW_IO_ACCEPTED).socket;
        CHECK(send(fd, "before", 6, 0) == 6);
        CHECK(!urgent || send(fd, "!", 1, MSG_OOB) == 1);
        CHECK(send(fd, "after", 5, 0) == 5);
        CHECK(urgent || shutdown(fd, SHUT_WR) == 0);
        await_arrival(fd);
        gw_io_receive_start(io, socket);
        for (uint32_t bytes = 0; bytes < 11;) {
            const struct gw_io_event event = epoll_await(io, GW_IO_RECEIVED);
            bytes += event.bytes;
            gw_io_buffers_return(io, &event.buffer, 1);
        }
        if (!urgent) {
            CHECK(epoll_await(io, GW_IO_ENDED).result == 0);
        }
        close(fd);
        gw_io_destroy(io);
    }
}

// Several buffers a receive.

static uint8_t pattern(size_t at) { return (uint8_t)(at * 7 + at / 251); }

// Returns when all of it has arrived.
static void send_pattern(int fd, size_t bytes) {
    uint8_t data[64 * 1024];
    CHECK(bytes <= sizeof data);
    for (size_t i = 0; i < bytes; i++) {
        data[i] = pattern(i);
    }
    CHECK(send(fd, data, bytes, 0) == (ssize_t)bytes);
    await_arrival(fd);
}

// One turn with room for so many events, all of them of receives: each continues its socket's pattern, and its buffer goes
// back. Returns their number.
static unsigned epoll_take(struct gw_io *io, unsigned capacity, size_t *received) {
    struct gw_io_event events[512];
    const int count = gw_io_turn(io, 0, events, capacity);
    CHECK(count >= 0 && (unsigned)count <= capacity);
    for (int i = 0; i < count; i++) {
        const struct gw_io_event *event = &events[i];
        CHECK(event->kind == GW_IO_RECEIVED && event->bytes >= 1 && event->bytes <= io->receive_buffer_bytes);
        CHECK(event->data == io->receive_memory + (size_t)event->buffer * io->receive_buffer_bytes);
        for (uint32_t at = 0; at < event->bytes; at++) {
            CHECK(event->data[at] == pattern(received[event->socket] + at));
        }
        received[event->socket] += event->bytes;
    }
    for (int i = 0; i < count; i++) {
        gw_io_buffers_return(io, &events[i].buffer, 1);
    }
    return (unsigned)count;
}

static uint64_t epoll_syscalls(const struct gw_io *io) {
    struct gw_io_stats stats;
    gw_io_read_stats(io, &stats);
    return stats.syscalls;
}

static void epoll__fills_several_buffers_once_one_was_filled(void) {
    enum { BUFFER = 64 };
    uint16_t port;
    struct gw_io *io = epoll_open(64, BUFFER, &port);
    struct world address_only = { .port = port };
    const int fd = client_connect(&address_only);
    const uint32_t socket = epoll_await(io, GW_IO_ACCEPTED).socket;
    size_t received[SOCKETS] = { 0 };
    send_pattern(fd, 20 * BUFFER + 5);
    gw_io_receive_start(io, socket);
    const unsigned turns[] = { 1, GW_EPOLL_BUFFERS_MAX, 4, 0 };
    for (size_t i = 0; i < sizeof turns / sizeof *turns; i++) {
        const uint64_t before = epoll_syscalls(io);
        CHECK(epoll_take(io, 64, received) == turns[i]);
        CHECK(epoll_syscalls(io) - before == 1 + (turns[i] > 0));   // a wait, and a receive if there was something
    }
    CHECK(received[socket] == 20 * BUFFER + 5);
    close(fd);
    gw_io_destroy(io);
}

static void epoll__fills_no_more_buffers_than_are_free_or_a_turn_tells(void) {
    enum { BUFFER = 64, BUFFERS = 4, BYTES = 30 * BUFFER + 1 };
    for (unsigned capacity = 2; capacity <= 2 * BUFFERS; capacity += 3) {
        uint16_t port;
        struct gw_io *io = epoll_open(BUFFERS, BUFFER, &port);
        struct world address_only = { .port = port };
        const int fd = client_connect(&address_only);
        const uint32_t socket = epoll_await(io, GW_IO_ACCEPTED).socket;
        size_t received[SOCKETS] = { 0 };
        send_pattern(fd, BYTES);
        gw_io_receive_start(io, socket);
        const unsigned most = capacity < BUFFERS ? capacity : BUFFERS;
        CHECK(epoll_take(io, capacity, received) == 1);
        while (received[socket] < BYTES) {
            const size_t left = BYTES - received[socket], buffers = (left + BUFFER - 1) / BUFFER;
            CHECK(epoll_take(io, capacity, received) == (buffers < most ? buffers : most));
        }
        close(fd);
        gw_io_destroy(io);
    }
}

// Whoever a turn's bytes left out comes first in the next.
static void epoll__takes_a_turns_bytes_and_leaves_the_rest_to_the_next(void) {
    enum { BUFFER = 4096, BYTES = 60000 };
    uint16_t port;
    struct gw_io *io = epoll_open(256, BUFFER, &port);
    struct world address_only = { .port = port };
    size_t received[SOCKETS] = { 0 };
    int fds[SOCKETS];
    for (unsigned i = 0; i < SOCKETS; i++) {
        fds[i] = client_connect(&address_only);
        (void)epoll_await(io, GW_IO_ACCEPTED);
        send_pattern(fds[i], BYTES);
    }
    for (unsigned socket = 0; socket < SOCKETS; socket++) {
        gw_io_receive_start(io, socket);
    }
    CHECK(epoll_take(io, 512, received) == SOCKETS);   // a buffer each
    (void)epoll_take(io, 512, received);
    size_t all = 0;
    unsigned left_out = 0;
    for (unsigned i = 0; i < SOCKETS; i++) {
        CHECK(received[i] == BYTES || received[i] == BUFFER);
        all += received[i];
        left_out += received[i] == BUFFER;
    }
    all -= SOCKETS * BUFFER;
    CHECK(left_out > 0 && all >= GW_EPOLL_TURN_BYTES && all < GW_EPOLL_TURN_BYTES + BYTES);
    (void)epoll_take(io, 512, received);
    for (unsigned i = 0; i < SOCKETS; i++) {
        CHECK(received[i] == BYTES);
        close(fds[i]);
    }
    gw_io_destroy(io);
}

// The front.

// One turn of it. Returns the number of events; ended is how a short send ended that was not silent, else 0.
static unsigned front_turn(struct gw_io *io, struct gw_io_event *events, unsigned most, int32_t *ended) {
    struct gw_uring_front *front = io->front;
    unsigned count = 0;
    *ended = 0;
    CHECK(front->begin(io, 1000000) == 0 && !front->row_open);
    const unsigned end = *front->tail;
    for (unsigned at = *front->head; at != end; at++) {
        const struct io_uring_cqe *cqe = &front->completions[at & front->mask];
        if (gw_request_kind(cqe->user_data) == GW_SEND_SHORT) {
            CHECK(*ended == 0 && cqe->res != 0);
            *ended = cqe->res;
        } else {
            CHECK(count < most);
            count += front->complete(io, cqe, &events[count]);
        }
    }
    front->end(io, end);
    CHECK(front->row_open);
    return count;
}

// Turns until there is an event, which is of the kind.
static struct gw_io_event front_await(struct gw_io *io, enum gw_io_kind kind) {
    const uint64_t end = world_now_ms() + WORLD_PATIENCE_MS;
    struct gw_io_event events[2];
    int32_t ended;
    while (front_turn(io, events, 2, &ended) == 0) {
        CHECK(world_now_ms() < end);
    }
    CHECK(events[0].kind == kind);
    return events[0];
}

static void front_send(struct gw_io *io, uint32_t socket, const uint8_t *bytes, uint32_t length) {
    CHECK(gw_uring_wrap_row(io->front));
    gw_uring_send_short(io->front, socket, bytes)->len = length;
}

static void front__says_nothing_of_a_short_send_that_left_and_what_of_any_other(void) {
    enum { BYTES = 60000 };
    static uint8_t bytes[BYTES], got[BYTES];
    uint16_t port;
    struct gw_io *io = epoll_open(8, 4096, &port);
    struct world address_only = { .port = port };
    const int fd = client_connect(&address_only);
    const uint32_t socket = front_await(io, GW_IO_ACCEPTED).socket;
    struct gw_io_event event;
    size_t taken = 0;
    int32_t ended;
    for (ended = 0; ended == 0; taken += ended == 0 ? BYTES : ended > 0 ? (size_t)ended : 0) {
        for (size_t i = 0; i < BYTES; i++) {
            bytes[i] = pattern(taken + i);
        }
        front_send(io, socket, bytes, BYTES);
        CHECK(front_turn(io, &event, 1, &ended) == 0);
    }
    CHECK(ended == -EAGAIN || (ended > 0 && ended < BYTES));
    for (size_t at = 0; at < taken;) {
        const ssize_t count = recv(fd, got, taken - at < BYTES ? taken - at : BYTES, 0);
        CHECK(count > 0);
        for (ssize_t i = 0; i < count; i++) {
            CHECK(got[i] == pattern(at + (size_t)i));
        }
        at += (size_t)count;
    }
    CHECK(recv(fd, got, sizeof got, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    close(fd);
    gw_io_destroy(io);
}

static void front__sends_neither_what_was_recalled_nor_to_who_was_closed(void) {
    static const uint8_t bytes[] = "abc";
    uint16_t port;
    struct gw_io *io = epoll_open(8, 4096, &port);
    struct world address_only = { .port = port };
    const int fds[] = { client_connect(&address_only), client_connect(&address_only) };
    struct gw_io_event events[3];
    uint32_t sockets[2];
    for (unsigned count = 0; count < 2;) {
        int32_t ended;
        const unsigned more = front_turn(io, events, 2 - count, &ended);
        for (unsigned i = 0; i < more; i++) {
            CHECK(events[i].kind == GW_IO_ACCEPTED);
            sockets[count++] = events[i].socket;
        }
    }
    int32_t ended;
    front_send(io, sockets[0], bytes, 1);
    const uint32_t low = (uint32_t)(uintptr_t)(io->front->request - 1);
    gw_uring_recall(gw_uring_find_short(io->front, sockets[0], low));
    CHECK(front_turn(io, events, 3, &ended) == 0 && ended == 0);
    CHECK(gw_uring_find_short(io->front, sockets[0], low) == NULL);
    front_send(io, sockets[0], bytes + 1, 1);
    front_send(io, sockets[1], bytes + 2, 1);
    gw_io_close(io, sockets[1]);
    CHECK(front_turn(io, events, 3, &ended) == 1 && ended == 0 && events[0].kind == GW_IO_CLOSED);
    uint8_t got[4];
    CHECK(recv(fds[0], got, sizeof got, 0) == 1 && got[0] == 'b');
    CHECK(recv(fds[1], got, sizeof got, 0) == 0);
    close(fds[0]);
    close(fds[1]);
    gw_io_destroy(io);
}

int main(void) {
    RUN(epoll__rests_without_a_descriptor_and_goes_on_when_told);
    RUN(epoll__receives_to_the_end_on_one_edge);
    RUN(epoll__fills_several_buffers_once_one_was_filled);
    RUN(epoll__fills_no_more_buffers_than_are_free_or_a_turn_tells);
    RUN(epoll__takes_a_turns_bytes_and_leaves_the_rest_to_the_next);
    RUN(front__says_nothing_of_a_short_send_that_left_and_what_of_any_other);
    RUN(front__sends_neither_what_was_recalled_nor_to_who_was_closed);
    return 0;
}
