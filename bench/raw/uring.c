// The raw echo on io_uring. It uses what the gateway's backend uses (multishot accept and receive, a ring of provided
// buffers, one submit a turn), knows no frames, and sends a received buffer back from where the kernel put it.
#include <errno.h>
#include <sys/mman.h>

#include "requests.h"

enum {
    BUFFERS = 512,            // a power of two; as many as the gateway's by default
    COMPLETIONS = 8192,
};

const struct option_spec raw_options[1];
const size_t raw_options_count = 0;

// A socket sends one buffer at a time, so that the answers keep their order; the others wait in a list.
struct echo_socket {
    int first, last;          // buffers to be sent, the first of them under way; NONE: none
    int receiving;
    int ended;
};

struct echo_buffer {
    int next;
    int bytes;
};

static struct io_uring ring;
static struct io_uring_buf_ring *provided;
static uint8_t *memory;
static struct echo_socket sockets[RAW_SOCKETS_MAX];
static struct echo_buffer buffers[BUFFERS];

static void provide(int buffer) {
    io_uring_buf_ring_add(provided, memory + (size_t)buffer * RAW_BUFFER_BYTES, RAW_BUFFER_BYTES, (unsigned short)buffer,
                          io_uring_buf_ring_mask(BUFFERS), 0);
    io_uring_buf_ring_advance(provided, 1);
}

static void receive_start(int socket) {
    receive_arm(&ring, socket);
    sockets[socket].receiving = 1;
}

static void send_first(int socket) {
    const int buffer = sockets[socket].first;
    struct io_uring_sqe *sqe = take(&ring);
    io_uring_prep_send(sqe, socket, memory + (size_t)buffer * RAW_BUFFER_BYTES, (size_t)buffers[buffer].bytes,
                       MSG_WAITALL | MSG_NOSIGNAL);
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

static void received(const struct io_uring_cqe *cqe, int socket) {
    struct echo_socket *s = &sockets[socket];
    s->receiving = (cqe->flags & IORING_CQE_F_MORE) != 0;
    if (cqe->res > 0) {
        const int buffer = (int)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
        buffers[buffer] = (struct echo_buffer){ .next = NONE, .bytes = cqe->res };
        if (s->first == NONE) {
            s->first = s->last = buffer;
            send_first(socket);
        } else {
            buffers[s->last].next = buffer;
            s->last = buffer;
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
    const int buffer = s->first;
    s->first = buffers[buffer].next;
    provide(buffer);
    if (cqe->res != buffers[buffer].bytes && !s->ended) {
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

int raw_open(int listener) {
    int error = ring_open(&ring, COMPLETIONS);
    if (error < 0) {
        return error;
    }
    const size_t entries = BUFFERS * sizeof(struct io_uring_buf);
    uint8_t *mapped = mmap(NULL, entries + (size_t)BUFFERS * RAW_BUFFER_BYTES, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped == MAP_FAILED) {
        return -errno;
    }
    provided = (struct io_uring_buf_ring *)mapped;
    memory = mapped + entries;
    struct io_uring_buf_reg registration = {
        .ring_addr = (uint64_t)(uintptr_t)provided, .ring_entries = BUFFERS, .bgid = GROUP,
    };
    error = io_uring_register_buf_ring(&ring, &registration, 0);
    if (error < 0) {
        return error;
    }
    io_uring_buf_ring_init(provided);
    for (int i = 0; i < BUFFERS; i++) {
        provide(i);
    }
    accept_arm(&ring, listener);
    return 0;
}

int raw_turn(int may_wait) {
    const int error = ring_enter(&ring, may_wait, 1);
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
