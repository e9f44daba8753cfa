// The front of a backend with rings as io_uring has them: what its reactor needs to walk the completions itself, so that an
// everyday one is handled where it lies and never becomes a struct gw_io_event, and to write everyday sends. The rings of
// io_uring's are the kernel's too, which writes *tail; epoll's are memory (gw_epoll_front.c). In place of gw_io_turn:
//
//   begin, then for each completion from *head to *tail: an everyday receive or a short send in place, anything else
//   by complete, a bundle part by part; then end.
//
// Owner and thread: the reactor's, as in gw_io.h.
#ifndef GW_URING_FRONT_H
#define GW_URING_FRONT_H

#include <linux/io_uring.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include "gw_io.h"

struct gw_uring_front {
    const struct io_uring_cqe *completions;
    const unsigned *head;
    const unsigned *tail;
    unsigned mask;
    const struct io_uring_buf_ring *buffers;   // receive buffers as they lie in the kernel's ring; only for bundles
    unsigned buffers_mask;
    uint32_t buffer_bytes;
    uint32_t buffers_free;             // receive buffers in the kernel's ring; whoever has another kind looks elsewhere

    // The row: free requests one behind the other. Those of it that were taken count as written, in their order, but the
    // ring's tail is told of them only when the row ends.
    struct io_uring_sqe *request;      // the next one
    struct io_uring_sqe *row, *row_end;
    struct io_uring_sqe *requests;
    const unsigned *requests_taken;    // by the kernel
    unsigned *requests_tail;           // behind those written, but for the row's
    unsigned requests_count;           // a power of two
    uint16_t epoch;                    // moves on when a row is opened
    uint8_t row_open;

    // What gw_io_turn does before it looks at completions: requests are submitted and the wait is waited. 0 or -errno.
    int (*begin)(struct gw_io *io, uint64_t timeout_ns);
    // Whatever is not everyday and no bundle: writes at most two events and returns their number.
    unsigned (*complete)(struct gw_io *io, const struct io_uring_cqe *cqe, struct gw_io_event *event);
    // Completions before this one have been looked at.
    void (*end)(struct gw_io *io, unsigned head);
};

// Of whoever has no rings: no row is ever open.
extern struct gw_uring_front gw_uring_no_front;

// user_data: what the completion is about.

enum gw_request {
    GW_ACCEPT_MANY, GW_ACCEPT_ONE, GW_RECEIVE, GW_SEND, GW_SHUTDOWN, GW_CLOSE, GW_WAKE, GW_QUIET,
    GW_SEND_SHORT,   // with the low 24 bits of its address between kind and socket
};

static inline uint64_t gw_request_pack(enum gw_request request, uint16_t generation, uint32_t socket) {
    return (uint64_t)request << 56 | (uint64_t)generation << 32 | socket;
}
static inline enum gw_request gw_request_kind(uint64_t data) { return (enum gw_request)(data >> 56); }
static inline uint16_t gw_request_generation(uint64_t data) { return (uint16_t)(data >> 32); }
static inline uint32_t gw_request_socket(uint64_t data) { return (uint32_t)data; }

enum { GW_REQUEST_ADDRESS_MASK = 0xFFFFFF };
static inline uint32_t gw_request_short(const uint8_t *data) {   // the high half
    return GW_SEND_SHORT << 24 | ((uint32_t)(uintptr_t)data & GW_REQUEST_ADDRESS_MASK);
}
// Of a short send: how far behind base, which is less than 2^24, its bytes lie.
static inline uint32_t gw_request_offset(uint64_t data, const uint8_t *base) {
    return ((uint32_t)(data >> 32) - (uint32_t)(uintptr_t)base) & GW_REQUEST_ADDRESS_MASK;
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

// Short sends. The kernel takes one at the submit or not at all: it never waits for room, says nothing when it took all,
// and else completes with what it took, or -EAGAIN. So the bytes are free again as soon as the completions of the submit
// have been looked at, and nobody needs to remember the send. But until then nothing else may be sent to the socket, or
// it would be told in the wrong order. Therefore the row is
//   open     from when nothing is left of earlier submits: no request in the ring, no completion unseen
//   closed   by a submit
// and a socket that was sent to in an epoch is not sent to again before the next, unless the first send is recalled.

static inline void gw_uring_end_row(struct gw_uring_front *front) {
    *front->requests_tail += (unsigned)(front->request - front->row);
    front->row = front->row_end = front->request;
}

static inline void gw_uring_begin_row(struct gw_uring_front *front) {
    if (front->row_open) {
        const unsigned tail = *front->requests_tail, at = tail & (front->requests_count - 1);
        const unsigned free = front->requests_count - (tail - __atomic_load_n(front->requests_taken, __ATOMIC_ACQUIRE));
        const unsigned behind = front->requests_count - at;
        front->row = front->request = &front->requests[at];
        front->row_end = front->row + (free < behind ? free : behind);
    }
}

static inline void gw_uring_open_row(struct gw_uring_front *front) {
    front->row_open = 1;
    front->epoch++;
    gw_uring_begin_row(front);
}

static inline void gw_uring_close_row(struct gw_uring_front *front) {
    gw_uring_end_row(front);
    front->row_open = 0;
}

static inline int gw_uring_row_is_full(const struct gw_uring_front *front) { return front->request == front->row_end; }

// A full row may go on where the ring begins anew.
static inline int gw_uring_wrap_row(struct gw_uring_front *front) {
    if (front->row_open && gw_uring_row_is_full(front)) {
        gw_uring_end_row(front);
        gw_uring_begin_row(front);
    }
    return !gw_uring_row_is_full(front);
}

#define GW_SHORT_SEND_FLAGS (MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL)

// The next of a row that is not full, but for its length. What it leaves is 0: free requests of a row are clear, or were
// short sends before.
__attribute__((always_inline))
static inline struct io_uring_sqe *gw_uring_send_short(struct gw_uring_front *front, uint32_t socket, const uint8_t *data) {
    struct io_uring_sqe *request = front->request++;
    const uint32_t user_data[] = { socket, gw_request_short(data) };
    request->opcode = IORING_OP_SEND;
    request->flags = IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
    request->fd = (int)socket;
    request->addr = (uint64_t)(uintptr_t)data;
    request->msg_flags = GW_SHORT_SEND_FLAGS;
    memcpy(&request->user_data, user_data, sizeof user_data);
    return request;
}

// The bytes of a short send that the kernel has not taken lie elsewhere now.
static inline void gw_uring_move_short(struct io_uring_sqe *request, const uint8_t *data) {
    request->addr = (uint64_t)(uintptr_t)data;
    request->user_data = (uint64_t)gw_request_short(data) << 32 | gw_request_socket(request->user_data);
}

// The short send to the socket of whose request only the low half of the address is known; NULL: the kernel has taken it.
static inline struct io_uring_sqe *gw_uring_find_short(const struct gw_uring_front *front, uint32_t socket, uint32_t low) {
    const uint32_t at = (low - (uint32_t)(uintptr_t)front->requests) / sizeof *front->requests;
    if (at >= front->requests_count) {
        return NULL;
    }
    const unsigned taken = __atomic_load_n(front->requests_taken, __ATOMIC_ACQUIRE);
    const unsigned written = *front->requests_tail + (unsigned)(front->request - front->row) - taken;
    struct io_uring_sqe *request = &front->requests[at];
    const int waits = ((at - taken) & (front->requests_count - 1)) < written;
    return waits && request->opcode == IORING_OP_SEND && request->fd == (int)socket
        && gw_request_kind(request->user_data) == GW_SEND_SHORT ? request : NULL;
}

// Makes nothing of a request that the kernel has not taken.
static inline void gw_uring_recall(struct io_uring_sqe *request) {
    *request = (struct io_uring_sqe){ .opcode = IORING_OP_NOP, .flags = IOSQE_CQE_SKIP_SUCCESS,
                                      .user_data = gw_request_pack(GW_QUIET, 0, 0) };
}

#endif
