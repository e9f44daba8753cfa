// Which backend a reactor gets, on machines that allow io_uring and on those that do not.
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "gateway_client.h"

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

int main(void) {
    RUN(backend__is_io_uring_where_it_is_allowed_and_epoll_when_told);
    RUN(backend__is_epoll_where_io_uring_is_refused);
    RUN(backend__is_none_where_io_uring_lacks_memory_or_descriptors);
    return 0;
}
