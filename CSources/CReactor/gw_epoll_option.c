// What kernel TLS asks of the epoll backend: options of a socket, and records that hold no data.
//
// Owner and thread: the reactor's, as gw_epoll.h says.
#include <assert.h>
#include <errno.h>
#include <sys/socket.h>

#include "gw_epoll.h"

int gw_epoll_set_option(struct gw_io *io, uint32_t socket, const struct gw_io_option *option) {
    struct gw_io_epoll *e = gw_epoll(io);
    e->stats.syscalls++;
    const int result = setsockopt(e->sockets[socket].fd, option->level, option->name, option->value, option->bytes);
    return result == 0 ? 0 : -errno;
}

int32_t gw_epoll_try_record(struct gw_io_epoll *e, struct gw_epoll_socket *s) {
    struct msghdr message = { .msg_iov = &s->unsent, .msg_iovlen = 1 };
    gw_message_set_record_type(&message, s->record_type);
    ssize_t sent;
    do {
        sent = sendmsg(s->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        e->stats.syscalls++;
    } while (sent < 0 && errno == EINTR);
    if (sent < 0 && errno == EAGAIN) {
        return 0;
    }
    s->record_type = 0;
    return sent < 0 ? -errno : (int32_t)sent;
}

void gw_epoll_send_record(struct gw_io *io, uint32_t socket, uint8_t type, const struct iovec *iov) {
    struct gw_io_epoll *e = gw_epoll(io);
    struct gw_epoll_socket *s = &e->sockets[socket];
    assert((s->flags & (GW_EPOLL_OPEN | GW_EPOLL_SENDING | GW_EPOLL_CLOSING)) == GW_EPOLL_OPEN);
    s->flags |= GW_EPOLL_SENDING;
    s->record_type = type;
    s->unsent = *iov;
    s->result = gw_epoll_try_record(e, s);
    if (s->result != 0) {
        gw_epoll_report(e, socket);
    }
}
