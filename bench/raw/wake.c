// What it takes to wake a thread that waits on its ring, as a reactor does: a write to an eventfd that the ring polls
// (what the core does), and a message to the ring by a thread that has none (Linux 6.13 and later). Two threads; the woken
// one sleeps before each wake. Prints for both, taking turns, the medians of what the waker's call takes and of what passes
// until the other thread runs.
//
//   raw_wake [--wakes N] [--rounds N]
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "../options.h"
#include "features.h"

enum { PAUSE_NS = 50000, WOKEN = 1 };

static struct io_uring ring;
static int event_fd;
static atomic_uint woken;     // times that the sleeper ran
static atomic_int stopping;

static void arm(void) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    io_uring_prep_poll_multishot(sqe, event_fd, POLLIN);
    sqe->user_data = WOKEN;
}

// The ring belongs to the thread that creates it.
static void *sleeper(void *ready) {
    const int error = io_uring_queue_init(64, &ring, IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN);
    if (error < 0) {
        die("io_uring: %s", strerror(-error));
    }
    arm();
    io_uring_submit(&ring);
    atomic_store((atomic_int *)ready, 1);
    while (!atomic_load(&stopping)) {
        struct io_uring_cqe *cqe;
        if (io_uring_wait_cqe(&ring, &cqe) == 0) {
            if (cqe->user_data == WOKEN && cqe->res != 0 && !(cqe->flags & IORING_CQE_F_MORE)) {
                arm();
            }
            io_uring_cqe_seen(&ring, cqe);
            atomic_fetch_add(&woken, 1);
            io_uring_submit(&ring);
        }
    }
    return NULL;
}

static void by_eventfd(void) {
    const uint64_t one = 1;
    if (write(event_fd, &one, sizeof one) != sizeof one) {
        die("eventfd: %s", strerror(errno));
    }
}

static void by_message(void) {
    struct io_uring_sqe sqe = {
        .opcode = IORING_OP_MSG_RING, .fd = ring.ring_fd, .off = 2, .user_data = 2,
    };
    if (syscall(SYS_io_uring_register, -1, IORING_REGISTER_SEND_MSG_RING, &sqe, 1) < 0) {
        die("a message to the ring: %s", strerror(errno));
    }
}

static int ascending(const void *left, const void *right) {
    const uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

static void measure(const char *name, void (*wake)(void), unsigned wakes) {
    uint64_t *calls = calloc(wakes, sizeof *calls), *wholes = calloc(wakes, sizeof *wholes);
    if (calls == NULL || wholes == NULL) {
        die("out of memory");
    }
    for (unsigned i = 0; i < wakes; i++) {
        nanosleep(&(struct timespec){ .tv_nsec = PAUSE_NS }, NULL);
        const unsigned before = atomic_load(&woken);
        const uint64_t began = clock_ns();
        wake();
        calls[i] = clock_ns() - began;
        while (atomic_load(&woken) == before) {
        }
        wholes[i] = clock_ns() - began;
    }
    qsort(calls, wakes, sizeof *calls, ascending);
    qsort(wholes, wakes, sizeof *wholes, ascending);
    printf("%-10s call %5llu ns, until it runs %6llu ns\n", name, (unsigned long long)calls[wakes / 2],
           (unsigned long long)wholes[wakes / 2]);
    free(calls);
    free(wholes);
}

int main(int argc, char **argv) {
    unsigned wakes = 5000, rounds = 3;
    const struct option_spec specs[] = {
        { "--wakes", OPTION_UNSIGNED, &wakes },
        { "--rounds", OPTION_UNSIGNED, &rounds },
    };
    options_parse(argc, argv, specs, sizeof specs / sizeof *specs);
    atomic_int ready = 0;
    pthread_t thread;
    event_fd = eventfd(0, EFD_CLOEXEC);
    if (wakes == 0 || event_fd < 0 || pthread_create(&thread, NULL, sleeper, &ready) != 0) {
        die("nothing to wake");
    }
    while (!atomic_load(&ready)) {
    }
    for (unsigned round = 0; round < rounds; round++) {
        measure("eventfd", by_eventfd, wakes);
        measure("message", by_message, wakes);
    }
    atomic_store(&stopping, 1);
    by_eventfd();
    pthread_join(thread, NULL);
    return 0;
}
