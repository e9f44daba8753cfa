// The raw echo on io_uring once more, with what newer kernels offer as options: what each would give. Without an option it
// does what uring.c does, from which it differs in more than a line here and there: what it sends are parts of buffers.
//
// --bundle       one completion for all the buffers that a receive filled, and one vectored send for them
// --incremental  few long buffers, of which each receive takes as much as it has bytes
// --min-wait US  with --batch N: a turn waits so long for N completions before it is content with one
// --zero-copy    sends without copying, where the kernel can
// --napi US      busy polling of the network's queues for so long
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "client.h"
#include "features.h"
#include "requests.h"

enum {
    MEMORY_BYTES = 512 * RAW_BUFFER_BYTES,  // of all buffers: as many as in uring.c
    LONG_FACTOR = 8,                        // with --incremental an eighth of them, as much longer
    BUFFERS_MAX = 512,
    PIECES_MAX = 1 << 17,
    VECTOR_MAX = 64,
    COMPLETIONS = 16384,
};

static struct {
    int bundle, incremental, zero_copy;
    unsigned min_wait_us, batch, napi_us;
} features = { .batch = 1 };

const struct option_spec raw_options[] = {
    { "--bundle", OPTION_FLAG, &features.bundle },
    { "--incremental", OPTION_FLAG, &features.incremental },
    { "--min-wait", OPTION_UNSIGNED, &features.min_wait_us },
    { "--batch", OPTION_UNSIGNED, &features.batch },
    { "--zero-copy", OPTION_FLAG, &features.zero_copy },
    { "--napi", OPTION_UNSIGNED, &features.napi_us },
};
const size_t raw_options_count = sizeof raw_options / sizeof *raw_options;

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

static void provide(int buffer) {
    const int mask = io_uring_buf_ring_mask(buffer_count);
    buffers[buffer] = (struct echo_buffer){ .place = provided_count & (unsigned)mask };
    in_ring[provided_count++ & (unsigned)mask] = buffer;
    io_uring_buf_ring_add(provided, memory + (size_t)buffer * buffer_bytes, buffer_bytes, (unsigned short)buffer, mask, 0);
    io_uring_buf_ring_advance(provided, 1);
}

static void receive_start(int socket) {
    receive_arm(&ring, socket)->ioprio |= features.bundle ? IORING_RECVSEND_BUNDLE : 0;
    sockets[socket].receiving = 1;
}

static void send_first(int socket) {
    struct echo_socket *s = &sockets[socket];
    struct io_uring_sqe *sqe = take(&ring);
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
        close_arm(&ring, socket);
    }
}

static void accepted(const struct io_uring_cqe *cqe) {
    const int socket = accept_next(&ring, cqe);
    if (socket != NONE) {
        sockets[socket] = (struct echo_socket){ .first = NONE, .last = NONE };
        receive_start(socket);
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
        receive_start(socket);
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
        raw_syscalls++;
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

int raw_open(int listener) {
    int error = ring_open(&ring, COMPLETIONS);
    struct io_uring_napi napi = { .busy_poll_to = features.napi_us, .prefer_busy_poll = 1 };
    if (error == 0 && features.napi_us > 0
        && syscall(SYS_io_uring_register, ring.ring_fd, IORING_REGISTER_NAPI, &napi, 1) != 0) {
        error = -errno;
    }
    if (error == 0) {
        error = provide_all();
    }
    if (error == 0) {
        accept_arm(&ring, listener);
    }
    return error;
}

// Waits for the batch no longer than the minimum, and for one completion as long as it takes. 0 or -errno.
static int enter_with_minimum(void) {
    const struct io_uring_min_wait_arg arg = { .min_wait_usec = features.min_wait_us };
    const unsigned requests = io_uring_sq_ready(&ring);
    raw_syscalls++;
    __atomic_store_n(ring.sq.ktail, ring.sq.sqe_tail, __ATOMIC_RELEASE);
    const long entered = syscall(SYS_io_uring_enter, ring.ring_fd, requests, features.batch,
                                 IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &arg, sizeof arg);
    ring.sq.sqe_head = __atomic_load_n(ring.sq.khead, __ATOMIC_ACQUIRE);
    return entered < 0 && errno != EINTR && errno != ETIME ? -errno : 0;
}

int raw_turn(int may_wait) {
    const int error = features.min_wait_us > 0 && may_wait ? enter_with_minimum()
                                                           : ring_enter(&ring, may_wait, features.batch);
    const struct io_uring_cqe *cqe;
    unsigned head, count = 0;
    io_uring_for_each_cqe(&ring, head, cqe) {
        switch (request_of(cqe)) {
        case ACCEPT: accepted(cqe); break;
        case RECEIVE: received(cqe, socket_of(cqe)); break;
        case SEND: sent(cqe, socket_of(cqe)); break;
        case CLOSE: break;
        }
        count++;
    }
    io_uring_cq_advance(&ring, count);
    return error;
}
