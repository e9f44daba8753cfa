// Listening and accepting on epoll; see gw_epoll.h. Nothing is accepted that has no number: while all are in use
// the backlog waits, and the edge that told of it is remembered.
// Owner and thread: the reactor's, as gw_epoll.h says.
#define _GNU_SOURCE   // accept4
#include "gw_epoll.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gw_listen.h"
#include "gw_peer.h"

int gw_epoll_listen(struct gw_io *io, const char *address, uint16_t port, int shared) {
    struct gw_io_epoll *e = gw_epoll(io);
    if (e->listen_fd >= 0) {
        return -EALREADY;
    }
    const int fd = gw_listen_open(address, port, shared, &port);
    if (fd < 0) {
        return fd;
    }
    int error = fcntl(fd, F_SETFL, O_NONBLOCK) == 0 ? 0 : -errno;
    if (error == 0) {
        error = gw_epoll_watch(e, fd, EPOLLIN, GW_EDGE_LISTEN);
    }
    if (error != 0) {
        close(fd);
        return error;
    }
    e->listen_fd = fd;
    e->accept_ready = e->accept_resting = 0;
    return port;
}

void gw_epoll_stop_listening(struct gw_io *io) {
    struct gw_io_epoll *e = gw_epoll(io);
    if (e->listen_fd >= 0) {
        close(e->listen_fd);
        e->listen_fd = -1;
    }
}

void gw_epoll_accept_resume(struct gw_io *io) { gw_epoll(io)->accept_resting = 0; }

int gw_epoll_may_accept(const struct gw_io_epoll *e) {
    return e->listen_fd >= 0 && e->accept_ready && !e->accept_resting && e->sockets_open < e->sockets_max;
}

static uint32_t gw_epoll_take_number(struct gw_io_epoll *e) {
    if (e->socket_free == GW_NO_SOCKET) {
        return e->sockets_touched++;
    }
    const uint32_t socket = e->socket_free;
    e->socket_free = e->sockets[socket].next_report;
    return socket;
}

static int gw_epoll_adopt(struct gw_io_epoll *e, int fd, struct gw_io_event *event) {
    const uint32_t socket = gw_epoll_take_number(e);
    struct gw_epoll_socket *s = &e->sockets[socket];
    const int error = gw_epoll_watch(e, fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLPRI,
                                     (uint64_t)s->generation << 32 | socket);
    if (error != 0) {
        s->next_report = e->socket_free;
        e->socket_free = socket;
        close(fd);
        return error;
    }
    s->fd = fd;
    s->reach = 1;
    s->record_type = 0;
    s->flags = (uint8_t)(GW_EPOLL_OPEN | (s->flags & GW_EPOLL_LISTED));
    e->sockets_open++;
    *event = (struct gw_io_event){ .kind = GW_IO_ACCEPTED, .socket = socket };
    return 0;
}

unsigned gw_epoll_accept(struct gw_io_epoll *e, struct gw_io_event *events, unsigned capacity) {
    unsigned count = 0;
    for (unsigned tries = 0; tries < GW_EPOLL_ACCEPTS_MAX && count < capacity && gw_epoll_may_accept(e); tries++) {
        struct sockaddr_in6 address;
        struct sockaddr *peer = e->peers_wanted ? (struct sockaddr *)&address : NULL;
        socklen_t length = sizeof address;
        const int fd = accept4(e->listen_fd, peer, peer != NULL ? &length : NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        e->stats.syscalls++;
        int error = fd < 0 ? -errno : gw_epoll_adopt(e, fd, &events[count]);
        if (error == 0) {
            events[count++].peer = peer != NULL ? gw_peer_of(peer) : 0;
        } else if (error == -EAGAIN) {
            e->accept_ready = 0;
        } else if (!gw_accept_error_passes(error)) {
            e->accept_resting = 1;
            events[count++] = (struct gw_io_event){ .kind = GW_IO_ACCEPT_FAILED, .result = error };
        }
    }
    return count;
}
