// What both raw echoes on io_uring ask of their ring in the same way: uring.c, the floor, and features.c. It costs the floor
// no instruction (raw_echo_lockstep). One thread; the ring is the caller's.
#ifndef BENCH_RAW_REQUESTS_H
#define BENCH_RAW_REQUESTS_H

#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include "raw.h"

enum { SUBMISSIONS = 1024, GROUP = 0, NONE = -1 };

enum request { ACCEPT, RECEIVE, SEND, CLOSE };

static inline uint64_t request_name(enum request request, int socket) {
    return (uint64_t)request << 32 | (uint32_t)socket;
}
static inline enum request request_of(const struct io_uring_cqe *cqe) { return (enum request)(cqe->user_data >> 32); }
static inline int socket_of(const struct io_uring_cqe *cqe) { return (int)(uint32_t)cqe->user_data; }

static inline int ring_open(struct io_uring *ring, unsigned completions) {
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG
                 | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
        .cq_entries = completions,
    };
    return io_uring_queue_init_params(SUBMISSIONS, ring, &params);
}

// A call: inline in each place it would keep the functions around it from being so.
__attribute__((noinline, unused))
static struct io_uring_sqe *take(struct io_uring *ring) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    while (sqe == NULL) {
        raw_syscalls++;
        io_uring_submit(ring);
        sqe = io_uring_get_sqe(ring);
    }
    return sqe;
}

static inline void accept_arm(struct io_uring *ring, int listener) {
    struct io_uring_sqe *sqe = take(ring);
    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, 0);
    sqe->user_data = request_name(ACCEPT, listener);
}

// Keeps accepting. Returns the new socket, or NONE.
static inline int accept_next(struct io_uring *ring, const struct io_uring_cqe *cqe) {
    if (!(cqe->flags & IORING_CQE_F_MORE)) {
        accept_arm(ring, socket_of(cqe));
    }
    if (cqe->res < 0 || cqe->res >= RAW_SOCKETS_MAX) {
        return NONE;
    }
    raw_syscalls++;
    setsockopt(cqe->res, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
    return cqe->res;
}

// The caller may set more of it.
static inline struct io_uring_sqe *receive_arm(struct io_uring *ring, int socket) {
    struct io_uring_sqe *sqe = take(ring);
    io_uring_prep_recv_multishot(sqe, socket, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = GROUP;
    sqe->user_data = request_name(RECEIVE, socket);
    return sqe;
}

static inline void close_arm(struct io_uring *ring, int socket) {
    struct io_uring_sqe *sqe = take(ring);
    io_uring_prep_close(sqe, socket);
    sqe->user_data = request_name(CLOSE, socket);
}

// One submit, and the wait for so many completions if it may wait. 0 or -errno.
static inline int ring_enter(struct io_uring *ring, int may_wait, unsigned completions) {
    struct io_uring_cqe *cqe;
    raw_syscalls++;
    const int entered = may_wait ? io_uring_submit_and_wait_timeout(ring, &cqe, completions, NULL, NULL)
                                 : io_uring_submit_and_get_events(ring);
    return entered < 0 && entered != -EINTR ? entered : 0;
}

#endif
