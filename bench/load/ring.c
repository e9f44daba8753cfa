// See ring.h.
#include "ring.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "client.h"

enum { BUFFERS = 1024, BUFFER_BYTES = 64 * 1024, SUBMISSIONS = 4096, COMPLETIONS = 65536, GROUP = 0 };

static struct io_uring ring;
static struct io_uring_buf_ring *provided;
static uint8_t *memory;
static int *fds;  // by index, of the receives that are to go on

static struct io_uring_sqe *take(enum ring_operation operation, unsigned index) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    while (sqe == NULL) {
        io_uring_submit(&ring);
        sqe = io_uring_get_sqe(&ring);
    }
    sqe->user_data = (uint64_t)operation << 32 | index;
    return sqe;
}

// Preparing an entry clears the name that take gave it.
static void name(struct io_uring_sqe *sqe, enum ring_operation operation, unsigned index) {
    sqe->user_data = (uint64_t)operation << 32 | index;
}

static void provide(unsigned buffer) {
    io_uring_buf_ring_add(provided, memory + (size_t)buffer * BUFFER_BYTES, BUFFER_BYTES, (unsigned short)buffer,
                          io_uring_buf_ring_mask(BUFFERS), 0);
    io_uring_buf_ring_advance(provided, 1);
}

void ring_create(unsigned connections) {
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
        .cq_entries = COMPLETIONS,
    };
    int error = io_uring_queue_init_params(SUBMISSIONS, &ring, &params);
    if (error < 0) {
        die("io_uring: %s", strerror(-error));
    }
    const size_t entries = BUFFERS * sizeof(struct io_uring_buf);
    uint8_t *mapped = mmap(NULL, entries + (size_t)BUFFERS * BUFFER_BYTES, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    fds = calloc(connections, sizeof *fds);
    if (mapped == MAP_FAILED || fds == NULL) {
        die("out of memory");
    }
    provided = (struct io_uring_buf_ring *)mapped;
    memory = mapped + entries;
    struct io_uring_buf_reg registration = {
        .ring_addr = (uint64_t)(uintptr_t)provided, .ring_entries = BUFFERS, .bgid = GROUP,
    };
    error = io_uring_register_buf_ring(&ring, &registration, 0);
    if (error < 0) {
        die("io_uring: %s", strerror(-error));
    }
    io_uring_buf_ring_init(provided);
    for (unsigned i = 0; i < BUFFERS; i++) {
        provide(i);
    }
}

void ring_receive(unsigned index, int fd) {
    struct io_uring_sqe *sqe = take(RING_RECEIVED, index);
    fds[index] = fd;
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = GROUP;
    name(sqe, RING_RECEIVED, index);
}

void ring_send(unsigned index, int fd, const uint8_t *data, size_t bytes) {
    struct io_uring_sqe *sqe = take(RING_SENT, index);
    io_uring_prep_send(sqe, fd, data, bytes, MSG_NOSIGNAL | MSG_WAITALL);
    name(sqe, RING_SENT, index);
}

void ring_connect(unsigned index, int fd, const struct sockaddr *address, unsigned address_bytes) {
    struct io_uring_sqe *sqe = take(RING_CONNECTED, index);
    io_uring_prep_connect(sqe, fd, address, address_bytes);
    name(sqe, RING_CONNECTED, index);
}

void ring_close(unsigned index, int fd) {
    struct io_uring_sqe *sqe = take(RING_CLOSED, index);
    io_uring_prep_close(sqe, fd);
    name(sqe, RING_CLOSED, index);
}

static void complete(const struct io_uring_cqe *cqe, void (*handle)(const struct ring_event *event)) {
    struct ring_event event = {
        .operation = (enum ring_operation)(cqe->user_data >> 32), .index = (unsigned)cqe->user_data, .result = cqe->res,
    };
    if (event.operation != RING_RECEIVED) {
        handle(&event);
        return;
    }
    const unsigned buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
    const int fd = fds[event.index];
    if (cqe->res > 0) {
        event.data = memory + (size_t)buffer * BUFFER_BYTES;
    }
    if (cqe->res != -ENOBUFS) {
        handle(&event);
    }
    if (cqe->flags & IORING_CQE_F_BUFFER) {
        provide(buffer);
    }
    if (!(cqe->flags & IORING_CQE_F_MORE) && (cqe->res > 0 || cqe->res == -ENOBUFS)) {
        ring_receive(event.index, fd);
    }
}

void ring_turn(uint64_t until_ns, void (*handle)(const struct ring_event *event)) {
    const uint64_t now = clock_ns(), left = until_ns > now ? until_ns - now : 0;
    struct __kernel_timespec timeout = {
        .tv_sec = (long long)(left / 1000000000u), .tv_nsec = (long long)(left % 1000000000u),
    };
    struct io_uring_cqe *cqe;
    const int waited = io_uring_submit_and_wait_timeout(&ring, &cqe, 1, &timeout, NULL);
    if (waited < 0 && waited != -ETIME && waited != -EINTR && waited != -EBUSY) {
        die("io_uring: %s", strerror(-waited));
    }
    unsigned head, count = 0;
    io_uring_for_each_cqe(&ring, head, cqe) {
        complete(cqe, handle);
        count++;
    }
    io_uring_cq_advance(&ring, count);
}
