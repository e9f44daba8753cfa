// What kernel TLS asks of the io_uring backend: options of a socket that is no descriptor, and records that hold no data.
//
// Linux sets an option of a direct descriptor since 6.7, by a command to the socket. It answers while it takes the request, so
// that the answer lies among the completions when the submit returns; it stays there, and the turn passes over it.
//
// Owner and thread: the reactor's, as gw_uring.h says.
#include <assert.h>
#include <errno.h>

#include "gw_uring.h"

// Linux 6.7's; Debian 12's headers are older. Where the parts of a request lie is that of its include/uapi/linux/io_uring.h.
enum { GW_SOCKET_OP_SETSOCKOPT = 3 };

static int gw_uring_find_answer(const struct gw_io_uring *u, uint64_t user_data) {
    const unsigned tail = __atomic_load_n(u->ring.cq.ktail, __ATOMIC_ACQUIRE);
    for (unsigned at = *u->ring.cq.khead; at != tail; at++) {
        const struct io_uring_cqe *cqe = &u->ring.cq.cqes[at & u->ring.cq.ring_mask];
        if (cqe->user_data == user_data) {
            return cqe->res;
        }
    }
    return -EOVERFLOW;   // the ring was full
}

int gw_uring_set_option(struct gw_io *io, uint32_t socket, const struct gw_io_option *option) {
    struct gw_io_uring *u = gw_uring(io);
    assert(!(u->sockets[socket].flags & (GW_SOCKET_SENDING | GW_SOCKET_CLOSING)));
    const uint64_t user_data = gw_request_pack(GW_QUIET, ++u->options_set, socket);
    const uint64_t level_and_name = (uint64_t)(uint32_t)option->name << 32 | (uint32_t)option->level;
    struct io_uring_sqe *sqe = gw_uring_sqe(u);
    *sqe = (struct io_uring_sqe){
        .opcode = IORING_OP_URING_CMD, .flags = IOSQE_FIXED_FILE, .fd = (int)socket, .off = GW_SOCKET_OP_SETSOCKOPT,
        .addr = level_and_name, .file_index = option->bytes, .addr3 = (uint64_t)(uintptr_t)option->value,
        .user_data = user_data,
    };
    gw_uring_submit_early(u);
    return gw_uring_find_answer(u, user_data);
}

void gw_uring_send_record(struct gw_io *io, uint32_t socket, uint8_t type, const struct iovec *iov) {
    struct gw_io_uring *u = gw_uring(io);
    struct gw_socket *s = &u->sockets[socket];
    assert(!(s->flags & (GW_SOCKET_SENDING | GW_SOCKET_CLOSING)));
    s->flags |= GW_SOCKET_SENDING;
    gw_message_set_record_type(gw_uring_send_message(u, socket, iov, 1), type);
}
