// The front of the io_uring backend: what its reactor needs to walk the completions itself, so that an everyday one is
// handled where it lies and never becomes a struct gw_io_event, and to write everyday sends. In place of gw_io_turn:
//
//   gw_uring_begin, then for each completion from *head to *tail: an everyday receive or send in place,
//   anything else by gw_uring_complete, a bundle part by part; then gw_uring_end.
//
// Owner and thread: the reactor's, as in gw_io.h. The rings are the kernel's too, which writes *tail.
#ifndef GW_URING_FRONT_H
#define GW_URING_FRONT_H

#include <linux/io_uring.h>
#include <sys/socket.h>

#include "gw_io.h"

enum gw_socket_flags {
    GW_SOCKET_OPEN = 1,
    GW_SOCKET_WANTED = 2,         // the reactor wants to receive
    GW_SOCKET_RECEIVING = 4,      // a receive is in the kernel
    GW_SOCKET_PAUSING = 8,        // and has been asked to end
    GW_SOCKET_STARVED = 16,       // in the list of those that wait for a receive buffer; outlives the owner
    GW_SOCKET_SENDING = 32,
    GW_SOCKET_CLOSING = 64,
    GW_SOCKET_SHUTTING = 128,     // a shutdown is in the kernel
};

struct gw_socket {
    uint32_t next_starved;
    uint16_t generation;
    uint8_t flags;
};

struct gw_uring_front {
    const struct io_uring_cqe *completions;
    const unsigned *head;
    const unsigned *tail;
    unsigned mask;
    uint32_t buffers_free;        // receive buffers in the kernel's ring
    struct gw_socket *sockets;
    struct io_uring_sqe *requests;
    const unsigned *requests_head;   // the kernel's
    unsigned *requests_tail;         // ours: it is told at submit
    unsigned requests_count;         // a power of two
    const struct io_uring_buf_ring *buffers;   // receive buffers as they lie in the kernel's ring
    unsigned buffers_mask;
    uint32_t buffer_bytes;
};

// user_data: what the completion is about.

enum gw_request { GW_ACCEPT_MANY, GW_ACCEPT_ONE, GW_RECEIVE, GW_SEND, GW_SHUTDOWN, GW_CLOSE, GW_WAKE, GW_QUIET };

static inline uint64_t gw_request_pack(enum gw_request request, uint16_t generation, uint32_t socket) {
    return (uint64_t)request << 56 | (uint64_t)generation << 32 | socket;
}
static inline enum gw_request gw_request_kind(uint64_t data) { return (enum gw_request)(data >> 56); }
static inline uint16_t gw_request_generation(uint64_t data) { return (uint16_t)(data >> 32); }
static inline uint32_t gw_request_socket(uint64_t data) { return (uint32_t)data; }

// gw_io_send of one piece, its request written whole and in order: a few wide stores. 0: no request is free, and nothing
// is done.
static inline int gw_uring_send_only(struct gw_uring_front *front, uint32_t socket, const void *data, uint32_t bytes) {
    const unsigned tail = *front->requests_tail;
    if (tail - __atomic_load_n(front->requests_head, __ATOMIC_ACQUIRE) >= front->requests_count) {
        return 0;
    }
    struct gw_socket *s = &front->sockets[socket];
    s->flags |= GW_SOCKET_SENDING;
    front->requests[tail & (front->requests_count - 1)] = (struct io_uring_sqe){
        .opcode = IORING_OP_SEND, .flags = IOSQE_FIXED_FILE, .fd = (int)socket, .addr = (uint64_t)(uintptr_t)data,
        .len = bytes, .msg_flags = MSG_NOSIGNAL, .user_data = gw_request_pack(GW_SEND, s->generation, socket),
    };
    *front->requests_tail = tail + 1;
    return 1;
}

// A receive may fill several buffers, which are the next ones of the ring: a bundle.
static inline int gw_uring_is_bundle(const struct gw_uring_front *front, const struct io_uring_cqe *cqe) {
    return cqe->res > (int32_t)front->buffer_bytes && gw_request_kind(cqe->user_data) == GW_RECEIVE;
}

// The part of a bundle behind the `taken` bytes of it that were handled before, as far as it lies in one buffer, as if it were
// a completion of its own. Parts are handled in their order: what is the ring's next buffer follows from buffers_free.
static inline struct io_uring_cqe gw_uring_part(const struct gw_uring_front *front, const struct io_uring_cqe *cqe,
                                                uint32_t taken) {
    const uint32_t left = (uint32_t)cqe->res - taken, bytes = left < front->buffer_bytes ? left : front->buffer_bytes;
    const unsigned place = (front->buffers->tail - front->buffers_free) & front->buffers_mask;
    const uint32_t more = bytes < left ? IORING_CQE_F_MORE : cqe->flags & IORING_CQE_F_MORE;
    return (struct io_uring_cqe){
        .user_data = cqe->user_data, .res = (int32_t)bytes,
        .flags = (uint32_t)front->buffers->bufs[place].bid << IORING_CQE_BUFFER_SHIFT | IORING_CQE_F_BUFFER | more,
    };
}

// NULL: another backend, or one with TLS over it.
struct gw_uring_front *gw_uring_front(struct gw_io *io);

// What gw_io_turn does before it looks at completions: requests are submitted and the wait is waited. 0 or -errno.
int gw_uring_begin(struct gw_io *io, uint64_t timeout_ns);

// Whatever is not everyday and no bundle: writes at most two events and returns their number.
unsigned gw_uring_complete(struct gw_io *io, const struct io_uring_cqe *cqe, struct gw_io_event *event);

// Completions before this one have been looked at.
void gw_uring_end(struct gw_io *io, unsigned head);

#endif
