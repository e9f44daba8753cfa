// The raw echo on io_uring once more, with what newer kernels offer as options: what each would give. Without an option it
// does what uring.c does. One thread, until SIGINT or SIGTERM; SIGUSR1 prints the system calls so far.
//
//   raw_features [--port N] [--bundle] [--incremental] [--min-wait US --batch N] [--zero-copy] [--napi US]
//
// --bundle       one completion for all the buffers that a receive filled, and one vectored send for them
// --incremental  few long buffers, of which each receive takes as much as it has bytes
// --min-wait     a turn waits so long for N completions before it is content with one
// --zero-copy    sends without copying, where the kernel can
// --napi         busy polling of the network's queues for so long
#include <errno.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client.h"
#include "../options.h"
#include "features.h"
#include "raw.h"

enum {
    MEMORY_BYTES = 512 * RAW_BUFFER_BYTES,  // of all buffers: as many as in uring.c
    LONG_FACTOR = 8,                        // with --incremental an eighth of them, as much longer
    BUFFERS_MAX = 512,
    PIECES_MAX = 1 << 17,
    VECTOR_MAX = 64,
    SUBMISSIONS = 1024,
    COMPLETIONS = 16384,
    GROUP = 0,
    NONE = -1,
};

enum request { ACCEPT, RECEIVE, SEND, CLOSE };

static struct {
    int bundle, incremental, zero_copy;
    unsigned min_wait_us, batch, napi_us;
} features = { .batch = 1 };

// Bytes that a receive brought, to be sent back: a part of one buffer.
struct piece {
    int next, buffer;
    const uint8_t *data;
    uint32_t bytes;
};

// Its first `sending` pieces are under way. With --zero-copy they are done with when the kernel says so, not when it sent.
struct echo_socket {
    int first, last, sending;
    int receiving, ended;
    struct msghdr header;
    struct iovec vector[VECTOR_MAX];
};

struct echo_buffer {
    uint32_t used;            // with --incremental: bytes that receives have taken
    uint32_t pieces;          // not yet sent
    uint32_t place;           // in the ring
    int filled;               // the kernel is done with it
};

static struct io_uring ring;
static struct io_uring_buf_ring *provided;
static uint8_t *memory;
static struct echo_socket *sockets;
static struct echo_buffer buffers[BUFFERS_MAX];
static int in_ring[BUFFERS_MAX];  // the buffer at a place of the ring
static unsigned buffer_count, provided_count;
static uint32_t buffer_bytes;
static struct piece pieces[PIECES_MAX];
static int free_piece;
static uint64_t syscalls;
static volatile sig_atomic_t stopping, asked;

static void on_signal(int signal) {
    *(signal == SIGUSR1 ? &asked : &stopping) = 1;
}

static uint64_t request_name(enum request request, int socket) {
    return (uint64_t)request << 32 | (uint32_t)socket;
}

static struct io_uring_sqe *take(void) {
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
    while (sqe == NULL) {
        syscalls++;
        io_uring_submit(&ring);
        sqe = io_uring_get_sqe(&ring);
    }
    return sqe;
}

static void provide(int buffer) {
    const int mask = io_uring_buf_ring_mask(buffer_count);
    buffers[buffer] = (struct echo_buffer){ .place = provided_count & (unsigned)mask };
    in_ring[provided_count++ & (unsigned)mask] = buffer;
    io_uring_buf_ring_add(provided, memory + (size_t)buffer * buffer_bytes, buffer_bytes, (unsigned short)buffer, mask, 0);
    io_uring_buf_ring_advance(provided, 1);
}

static void accept_arm(int listener) {
    struct io_uring_sqe *sqe = take();
    io_uring_prep_multishot_accept(sqe, listener, NULL, NULL, 0);
    sqe->user_data = request_name(ACCEPT, listener);
}

static void receive_arm(int socket) {
    struct io_uring_sqe *sqe = take();
    io_uring_prep_recv_multishot(sqe, socket, NULL, 0, 0);
    sqe->ioprio |= features.bundle ? IORING_RECVSEND_BUNDLE : 0;
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = GROUP;
    sqe->user_data = request_name(RECEIVE, socket);
    sockets[socket].receiving = 1;
}

static void send_first(int socket) {
    struct echo_socket *s = &sockets[socket];
    struct io_uring_sqe *sqe = take();
    const struct piece *piece = &pieces[s->first];
    s->sending = 1;
    if (features.zero_copy) {
        io_uring_prep_send_zc(sqe, socket, piece->data, piece->bytes, MSG_WAITALL | MSG_NOSIGNAL, 0);
    } else if (features.bundle && piece->next != NONE) {
        s->sending = 0;
        for (int next = s->first; next != NONE && s->sending < VECTOR_MAX; next = pieces[next].next) {
            s->vector[s->sending++] = (struct iovec){ (void *)pieces[next].data, pieces[next].bytes };
        }
        s->header = (struct msghdr){ .msg_iov = s->vector, .msg_iovlen = (size_t)s->sending };
        io_uring_prep_sendmsg(sqe, socket, &s->header, MSG_WAITALL | MSG_NOSIGNAL);
    } else {
        io_uring_prep_send(sqe, socket, piece->data, piece->bytes, MSG_WAITALL | MSG_NOSIGNAL);
    }
    sqe->user_data = request_name(SEND, socket);
}

// A number is given back only when nothing names it any more.
static void close_when_quiet(int socket) {
    const struct echo_socket *s = &sockets[socket];
    if (s->ended && !s->receiving && s->first == NONE) {
        struct io_uring_sqe *sqe = take();
        io_uring_prep_close(sqe, socket);
        sqe->user_data = request_name(CLOSE, socket);
    }
}

static void accepted(const struct io_uring_cqe *cqe, int listener) {
    if (cqe->res >= 0 && cqe->res < RAW_SOCKETS_MAX) {
        syscalls++;
        setsockopt(cqe->res, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
        sockets[cqe->res] = (struct echo_socket){ .first = NONE, .last = NONE };
        receive_arm(cqe->res);
    }
    if (!(cqe->flags & IORING_CQE_F_MORE)) {
        accept_arm(listener);
    }
}

static void queue(struct echo_socket *s, int buffer, const uint8_t *data, uint32_t bytes) {
    const int number = free_piece;
    if (number == NONE) {
        die("more is waiting to be sent than is provided for");
    }
    free_piece = pieces[number].next;
    pieces[number] = (struct piece){ .next = NONE, .buffer = buffer, .data = data, .bytes = bytes };
    if (s->first == NONE) {
        s->first = number;
    } else {
        pieces[s->last].next = number;
    }
    s->last = number;
    buffers[buffer].pieces++;
}

// A bundle's buffers are those behind the first in the ring.
static void queue_received(struct echo_socket *s, const struct io_uring_cqe *cqe) {
    int buffer = (int)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
    uint32_t left = (uint32_t)cqe->res;
    while (left > 0) {
        struct echo_buffer *b = &buffers[buffer];
        const uint32_t room = buffer_bytes - b->used, bytes = left < room ? left : room;
        queue(s, buffer, memory + (size_t)buffer * buffer_bytes + b->used, bytes);
        b->used += bytes;
        left -= bytes;
        b->filled = !features.incremental || left > 0 || !(cqe->flags & IORING_CQE_F_BUF_MORE);
        buffer = in_ring[(b->place + 1) & (buffer_count - 1)];
    }
}

static void received(const struct io_uring_cqe *cqe, int socket) {
    struct echo_socket *s = &sockets[socket];
    s->receiving = (cqe->flags & IORING_CQE_F_MORE) != 0;
    if (cqe->res > 0) {
        const int idle = s->first == NONE;
        queue_received(s, cqe);
        if (idle) {
            send_first(socket);
        }
    } else if (cqe->res != -ENOBUFS) {
        s->ended = 1;
    }
    if (!s->receiving && !s->ended) {
        receive_arm(socket);
    }
    close_when_quiet(socket);
}

static void sent(const struct io_uring_cqe *cqe, int socket) {
    struct echo_socket *s = &sockets[socket];
    if (cqe->flags & IORING_CQE_F_MORE) {
        return;   // sent without copying: the notification that it is done with comes later
    }
    uint32_t bytes = 0;
    for (; s->sending > 0; s->sending--) {
        const int number = s->first;
        struct echo_buffer *b = &buffers[pieces[number].buffer];
        bytes += pieces[number].bytes;
        s->first = pieces[number].next;
        if (--b->pieces == 0 && b->filled) {
            provide(pieces[number].buffer);
        }
        pieces[number].next = free_piece;
        free_piece = number;
    }
    if (!features.zero_copy && cqe->res != (int32_t)bytes && !s->ended) {
        // The rest would be out of step. The receive ends with the shutdown, and the close follows it.
        s->ended = 1;
        syscalls++;
        shutdown(socket, SHUT_RDWR);
    }
    if (s->first != NONE) {
        send_first(socket);
    }
    close_when_quiet(socket);
}

static int provide_all(void) {
    buffer_count = BUFFERS_MAX / (features.incremental ? LONG_FACTOR : 1);
    buffer_bytes = MEMORY_BYTES / buffer_count;
    const size_t entries = BUFFERS_MAX * sizeof(struct io_uring_buf);
    uint8_t *mapped = mmap(NULL, entries + MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    sockets = calloc(RAW_SOCKETS_MAX, sizeof *sockets);
    if (mapped == MAP_FAILED || sockets == NULL) {
        return -ENOMEM;
    }
    provided = (struct io_uring_buf_ring *)mapped;
    memory = mapped + entries;
    struct io_uring_buf_reg_flags registration = {
        .ring_addr = (uint64_t)(uintptr_t)provided, .ring_entries = buffer_count, .bgid = GROUP,
        .flags = features.incremental ? IOU_PBUF_RING_INC : 0,
    };
    const int error = io_uring_register_buf_ring(&ring, (struct io_uring_buf_reg *)&registration, 0);
    if (error < 0) {
        return error;
    }
    io_uring_buf_ring_init(provided);
    for (unsigned i = 0; i < buffer_count; i++) {
        provide((int)i);
    }
    for (int i = 0; i < PIECES_MAX; i++) {
        pieces[i].next = i + 1 < PIECES_MAX ? i + 1 : NONE;
    }
    return 0;
}

static int set_up(void) {
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG
                 | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE,
        .cq_entries = COMPLETIONS,
    };
    int error = io_uring_queue_init_params(SUBMISSIONS, &ring, &params);
    if (error < 0) {
        return error;
    }
    struct io_uring_napi napi = { .busy_poll_to = features.napi_us, .prefer_busy_poll = 1 };
    if (features.napi_us > 0 && syscall(SYS_io_uring_register, ring.ring_fd, IORING_REGISTER_NAPI, &napi, 1) != 0) {
        return -errno;
    }
    return provide_all();
}

static int enter(void) {
    syscalls++;
    if (features.min_wait_us == 0) {
        struct io_uring_cqe *cqe;
        const int entered = io_uring_submit_and_wait_timeout(&ring, &cqe, features.batch, NULL, NULL);
        return entered < 0 && entered != -EINTR ? entered : 0;
    }
    const struct io_uring_min_wait_arg arg = { .min_wait_usec = features.min_wait_us };
    const unsigned requests = io_uring_sq_ready(&ring);
    __atomic_store_n(ring.sq.ktail, ring.sq.sqe_tail, __ATOMIC_RELEASE);
    const long entered = syscall(SYS_io_uring_enter, ring.ring_fd, requests, features.batch,
                                 IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg, sizeof arg);
    ring.sq.sqe_head = __atomic_load_n(ring.sq.khead, __ATOMIC_ACQUIRE);
    return entered < 0 && errno != EINTR && errno != ETIME ? -errno : 0;
}

static int turn(void) {
    const int error = enter();
    const struct io_uring_cqe *cqe;
    unsigned head, count = 0;
    io_uring_for_each_cqe(&ring, head, cqe) {
        const int socket = (int)(uint32_t)cqe->user_data;
        switch ((enum request)(cqe->user_data >> 32)) {
        case ACCEPT: accepted(cqe, socket); break;
        case RECEIVE: received(cqe, socket); break;
        case SEND: sent(cqe, socket); break;
        case CLOSE: break;
        }
        count++;
    }
    io_uring_cq_advance(&ring, count);
    return error;
}

int main(int argc, char **argv) {
    uint16_t port = 0;
    const struct option_spec specs[] = {
        { "--port", OPTION_PORT, &port },
        { "--bundle", OPTION_FLAG, &features.bundle },
        { "--incremental", OPTION_FLAG, &features.incremental },
        { "--min-wait", OPTION_UNSIGNED, &features.min_wait_us },
        { "--batch", OPTION_UNSIGNED, &features.batch },
        { "--zero-copy", OPTION_FLAG, &features.zero_copy },
        { "--napi", OPTION_UNSIGNED, &features.napi_us },
    };
    options_parse(argc, argv, specs, sizeof specs / sizeof *specs);
    for (const int *signal = (const int[]){ SIGINT, SIGTERM, SIGUSR1, 0 }; *signal != 0; signal++) {
        sigaction(*signal, &(struct sigaction){ .sa_handler = on_signal }, NULL);
    }
    const int listener = raw_listen(&port);
    int error = listener < 0 ? listener : set_up();
    if (error < 0) {
        die("set up: %s", strerror(-error));
    }
    accept_arm(listener);
    printf("listening on 127.0.0.1:%d\n", port);
    fflush(stdout);
    while (!stopping && error == 0) {
        error = turn();
        if (asked) {
            asked = 0;
            printf("syscalls %llu\n", (unsigned long long)syscalls);
            fflush(stdout);
        }
    }
    if (error < 0) {
        die("turn: %s", strerror(-error));
    }
    return 0;
}
