// What only the io_uring backend promises, seen from its inside: the ring refuses requests that the backend never makes,
// and completions that overflow the queue are not lost.
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "../../CSources/CReactor/gw_uring.h"
#include "gw_io_uring.h"
#include "test.h"

static struct gw_io_uring *uring_open(void) {
    const struct gw_io_config config = { .sockets_max = 8, .receive_buffers = 8, .receive_buffer_bytes = 4096 };
    struct gw_io *io = NULL;
    const int created = gw_io_uring_create(&config, &io);
    if (created == -EPERM || created == -ENOSYS) {
        return NULL;
    }
    CHECK(created == 0);
    struct gw_io_event events[8];
    CHECK(gw_io_turn(io, 0, events, 8) == 0);
    return gw_uring(io);
}

// Submits what prepare wrote and returns its result.
static int uring_result(struct gw_io_uring *u, void (*prepare)(struct io_uring_sqe *sqe)) {
    struct io_uring_sqe *sqe = gw_uring_sqe(u);
    prepare(sqe);
    sqe->user_data = 42;
    CHECK(io_uring_submit(&u->ring) >= 0);
    for (;;) {
        struct io_uring_cqe *cqe;
        CHECK(io_uring_wait_cqe(&u->ring, &cqe) == 0);
        const uint64_t data = cqe->user_data;
        const int result = cqe->res;
        io_uring_cqe_seen(&u->ring, cqe);
        if (data == 42) {
            return result;
        }
    }
}

static void open_a_file(struct io_uring_sqe *sqe) { io_uring_prep_openat(sqe, -1, "/etc/hostname", 0, 0); }
static void do_nothing(struct io_uring_sqe *sqe) { io_uring_prep_nop(sqe); }
static void in_a_worker(struct io_uring_sqe *sqe) {
    io_uring_prep_cancel64(sqe, 7, 0);
    sqe->flags |= IOSQE_ASYNC;
}
static void cancel_nothing(struct io_uring_sqe *sqe) { io_uring_prep_cancel64(sqe, 7, 0); }

static void ring__refuses_what_the_backend_never_asks(void) {
    struct gw_io_uring *u = uring_open();
    if (u == NULL) {
        return;
    }
    CHECK(uring_result(u, open_a_file) == -EACCES);
    CHECK(uring_result(u, do_nothing) == -EACCES);
    CHECK(uring_result(u, in_a_worker) == -EACCES);
    CHECK(uring_result(u, cancel_nothing) == -ENOENT);
    int files[2] = { -1, -1 };
    CHECK(io_uring_register_eventfd(&u->ring, 0) == -EACCES);
    CHECK(io_uring_register_files_update(&u->ring, 0, files, 2) == -EACCES);
    gw_io_destroy(&u->io);
}

// More completions than the queue holds wait in the kernel; turns bring every one of them in.
static void ring__overflow_loses_no_completion(void) {
    struct gw_io_uring *u = uring_open();
    if (u == NULL) {
        return;
    }
    const unsigned total = u->ring.cq.ring_entries + 1000;
    for (unsigned i = 0; i < total; i++) {
        cancel_nothing(gw_uring_sqe(u));
        struct io_uring_sqe *last = &u->ring.sq.sqes[(u->ring.sq.sqe_tail - 1) & u->ring.sq.ring_mask];
        last->user_data = gw_request_pack(GW_QUIET, 0, 0);
        if (io_uring_sq_space_left(&u->ring) == 0) {
            gw_uring_submit_early(u);
        }
    }
    gw_uring_submit_early(u);
    CHECK(*u->ring.sq.kflags & IORING_SQ_CQ_OVERFLOW);
    const unsigned before = *u->ring.cq.khead;
    struct gw_io_event events[8];
    for (int turns = 0; turns < 16 && *u->ring.cq.khead - before < total; turns++) {
        CHECK(gw_io_turn(&u->io, 0, events, 8) == 0);
    }
    CHECK(*u->ring.cq.khead - before == total);
    CHECK(!(*u->ring.sq.kflags & IORING_SQ_CQ_OVERFLOW));
    gw_io_destroy(&u->io);
}

int main(void) {
    RUN(ring__refuses_what_the_backend_never_asks);
    RUN(ring__overflow_loses_no_completion);
    return 0;
}
