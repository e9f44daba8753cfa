// Which backend a reactor gets, on machines that allow io_uring and on those that do not; and what only epoll can
// meet: no descriptor left, an edge that tells of two things at once. What every backend does is test_reactor_io.c's.
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "gateway_client.h"
#include "gw_io_epoll.h"

static struct gw_config config_for(enum gw_backend backend) {
    struct gw_config config;
    gw_config_init(&config);
    config.connections_max = 16;
    config.backend = (uint8_t)backend;
    return config;
}

// From here on io_uring_setup fails with the error, as under a container's filter; for ever in this process.
static void forbid_io_uring(int error) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = { .len = sizeof filter / sizeof *filter, .filter = filter };
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

// Runs a body in a child where io_uring_setup fails.
static void where_io_uring_fails(int error, void (*body)(int error)) {
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        forbid_io_uring(error);
        body(error);
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void expect_epoll(int error) {
    const struct gw_config config = config_for(GW_BACKEND_AUTOMATIC);
    struct gw_reactor *reactor;
    int refusal = 0;
    CHECK(gw_reactor_create(&config, &reactor) == 0);
    CHECK(strcmp(gw_reactor_backend(reactor, &refusal), "epoll") == 0 && refusal == -error);
    gw_reactor_destroy(reactor);
    const struct gw_config insisting = config_for(GW_BACKEND_IO_URING);
    CHECK(gw_reactor_create(&insisting, &reactor) == -error && reactor == NULL);
}

static void expect_failure(int error) {
    const struct gw_config config = config_for(GW_BACKEND_AUTOMATIC);
    struct gw_reactor *reactor;
    CHECK(gw_reactor_create(&config, &reactor) == -error && reactor == NULL);
}

static void backend__is_io_uring_where_it_is_allowed_and_epoll_when_told(void) {
    struct gw_reactor *reactor;
    int refusal = -1;
    struct gw_config config = config_for(GW_BACKEND_AUTOMATIC);
    CHECK(gw_reactor_create(&config, &reactor) == 0);
    CHECK(strcmp(gw_reactor_backend(reactor, &refusal), "io_uring") == 0 && refusal == 0);
    gw_reactor_destroy(reactor);
    config = config_for(GW_BACKEND_EPOLL);
    CHECK(gw_reactor_create(&config, &reactor) == 0);
    CHECK(strcmp(gw_reactor_backend(reactor, &refusal), "epoll") == 0 && refusal == 0);
    gw_reactor_destroy(reactor);
}

static void backend__is_epoll_where_io_uring_is_refused(void) {
    const int errors[] = { EPERM, EACCES, ENOSYS, EINVAL };
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        where_io_uring_fails(errors[i], expect_epoll);
    }
}

static void backend__is_none_where_io_uring_lacks_memory_or_descriptors(void) {
    const int errors[] = { ENOMEM, EMFILE, ENFILE };
    for (size_t i = 0; i < sizeof errors / sizeof *errors; i++) {
        where_io_uring_fails(errors[i], expect_failure);
    }
}

// Epoll alone.

static struct gw_io *epoll_open(uint16_t *port) {
    const struct gw_io_config config = { .sockets_max = 8, .receive_buffers = 8, .receive_buffer_bytes = 4096 };
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
    struct gw_io *io = epoll_open(&port);
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

// The one edge tells of bytes and of the end; urgent data splits what one edge told of.
static void epoll__receives_to_the_end_on_one_edge(void) {
    for (int urgent = 0; urgent < 2; urgent++) {
        uint16_t port;
        struct gw_io *io = epoll_open(&port);
        struct world address_only = { .port = port };
        const int fd = client_connect(&address_only);
        const uint32_t socket = epoll_await(io, GW_IO_ACCEPTED).socket;
        CHECK(send(fd, "before", 6, 0) == 6);
        CHECK(!urgent || send(fd, "!", 1, MSG_OOB) == 1);
        CHECK(send(fd, "after", 5, 0) == 5);
        CHECK(urgent || shutdown(fd, SHUT_WR) == 0);
        usleep(20000);
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

int main(void) {
    RUN(backend__is_io_uring_where_it_is_allowed_and_epoll_when_told);
    RUN(backend__is_epoll_where_io_uring_is_refused);
    RUN(backend__is_none_where_io_uring_lacks_memory_or_descriptors);
    RUN(epoll__rests_without_a_descriptor_and_goes_on_when_told);
    RUN(epoll__receives_to_the_end_on_one_edge);
    return 0;
}
