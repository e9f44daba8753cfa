// Listening and accepting on io_uring; see gw_uring.h.
// Owner and thread: the reactor's, as gw_uring.h says.
#include "gw_uring.h"

#include <errno.h>
#include <unistd.h>

#include "gw_listen.h"
#include "gw_peer.h"

// A multishot accept may take the whole backlog at once, and a connection that finds the table of
// sockets full is lost. So it runs only while more sockets are free than the backlog holds; below that, single
// accepts are given out, never more than there are free sockets.
//
// A multishot accept has one place for the peer's address and may complete many times before anyone looks, so where
// addresses are wanted every accept is a single one, with a place of its own.

void gw_uring_accept_arm(struct gw_io_uring *u) {
    if (u->listen_fd < 0 || u->accept_resting) {
        return;
    }
    const uint32_t sockets_free = u->sockets_max - u->sockets_open;
    if (u->accept_many) {
        if (sockets_free <= GW_IO_BACKLOG && !u->accept_many_ending) {
            u->accept_many_ending = 1;
            gw_uring_cancel(u, gw_request_pack(GW_ACCEPT_MANY, u->listen_generation, 0));
        }
        return;
    }
    if (sockets_free > GW_IO_BACKLOG && !u->peers_wanted) {
        struct io_uring_sqe *sqe = gw_uring_sqe(u);
        io_uring_prep_multishot_accept_direct(sqe, u->listen_fd, NULL, NULL, 0);
        sqe->user_data = gw_request_pack(GW_ACCEPT_MANY, u->listen_generation, 0);
        u->accept_many = 1;
        u->accept_many_ending = 0;
        return;
    }
    uint32_t armed = (uint32_t)__builtin_popcount(u->accept_singles);
    for (; armed < sockets_free && armed < GW_SINGLE_ACCEPTS_MAX; armed++) {
        const uint32_t number = (uint32_t)__builtin_ctz(~u->accept_singles);
        struct gw_accept_scratch *scratch = &u->accepts[number];
        struct io_uring_sqe *sqe = gw_uring_sqe(u);
        scratch->length = sizeof scratch->address;
        io_uring_prep_accept(sqe, u->listen_fd, u->peers_wanted ? (struct sockaddr *)&scratch->address : NULL,
                             u->peers_wanted ? &scratch->length : NULL, 0);
        sqe->file_index = IORING_FILE_INDEX_ALLOC;   // liburing 2.3's accept_direct cannot say this
        sqe->user_data = gw_request_pack(GW_ACCEPT_ONE, u->listen_generation, number);
        u->accept_singles |= 1u << number;
    }
}

int gw_uring_listen(struct gw_io *io, const char *address, uint16_t port, int shared) {
    struct gw_io_uring *u = gw_uring(io);
    if (u->listen_fd >= 0) {
        return -EALREADY;
    }
    const int fd = gw_listen_open(address, port, shared, &port);
    if (fd < 0) {
        return fd;
    }
    u->listen_fd = fd;
    u->listen_generation++;
    u->accept_many = u->accept_resting = 0;
    return port;
}

// The shutdown ends the accepts in the kernel; they are of the old generation by the next listen.
void gw_uring_stop_listening(struct gw_io *io) {
    struct gw_io_uring *u = gw_uring(io);
    if (u->listen_fd >= 0) {
        shutdown(u->listen_fd, SHUT_RDWR);
        close(u->listen_fd);
        u->listen_fd = -1;
    }
}

void gw_uring_accept_resume(struct gw_io *io) {
    gw_uring(io)->accept_resting = 0;
}

unsigned gw_uring_accepted(struct gw_io_uring *u, const struct io_uring_cqe *cqe, struct gw_io_event *event) {
    const int current = gw_request_generation(cqe->user_data) == u->listen_generation && u->listen_fd >= 0;
    uint64_t peer = 0;
    if (gw_request_kind(cqe->user_data) == GW_ACCEPT_ONE) {
        const uint32_t number = gw_request_socket(cqe->user_data);
        u->accept_singles &= ~(1u << number);
        peer = u->peers_wanted && cqe->res >= 0 ? gw_peer_of((struct sockaddr *)&u->accepts[number].address) : 0;
    } else if (current && !(cqe->flags & IORING_CQE_F_MORE)) {
        u->accept_many = 0;
    }
    if (cqe->res >= 0) {
        const uint32_t socket = (uint32_t)cqe->res;
        struct gw_socket *s = &u->sockets[socket];
        unsigned count = 0;
        if (s->flags & GW_SOCKET_OPEN) {
            // The number was given out again before the completion of its close was written.
            count += gw_uring_closed(u, socket, event);
        }
        s->flags |= GW_SOCKET_OPEN;
        u->sockets_open++;
        event[count] = (struct gw_io_event){ .peer = peer, .kind = GW_IO_ACCEPTED, .socket = socket };
        return count + 1;
    }
    if (gw_accept_error_passes(cqe->res) || !current || u->accept_resting) {
        return 0;
    }
    u->accept_resting = 1;
    *event = (struct gw_io_event){ .kind = GW_IO_ACCEPT_FAILED, .result = cqe->res };
    return 1;
}
