// The epoll backend: its requests, what edges tell, the turn; gw_io.h says what a backend does and gw_epoll.h
// what is kept about a socket.
//
// A send, a shutdown and a close are done where they are asked for, because their result is known at once; like
// every other event it is told by a turn. Only a send that finds no room waits for an edge.
//
// Owner and thread: the reactor's, as gw_epoll.h says.
#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gw_epoll.h"

// Lists of sockets, first come, first served.

static void gw_epoll_ready_push(struct gw_io_epoll *e, struct gw_socket_list *list, uint32_t socket) {
    struct gw_epoll_socket *s = &e->sockets[socket];
    s->flags |= GW_EPOLL_LISTED;
    s->next_readable = GW_NO_SOCKET;
    if (list->first == GW_NO_SOCKET) {
        list->first = socket;
    } else {
        e->sockets[list->last].next_readable = socket;
    }
    list->last = socket;
}

static uint32_t gw_epoll_ready_pop(struct gw_io_epoll *e, struct gw_socket_list *list) {
    const uint32_t socket = list->first;
    list->first = e->sockets[socket].next_readable;
    e->sockets[socket].flags &= (uint8_t)~GW_EPOLL_LISTED;
    return socket;
}

static void gw_epoll_make_ready(struct gw_io_epoll *e, uint32_t socket) {
    const uint8_t all = GW_EPOLL_OPEN | GW_EPOLL_WANTED | GW_EPOLL_READABLE;
    if ((e->sockets[socket].flags & (all | GW_EPOLL_LISTED)) == all) {
        gw_epoll_ready_push(e, &e->ready, socket);
        e->ready_count++;
    }
}

void gw_epoll_report(struct gw_io_epoll *e, uint32_t socket) {
    struct gw_epoll_socket *s = &e->sockets[socket];
    if (s->flags & GW_EPOLL_REPORTED) {
        return;
    }
    s->flags |= GW_EPOLL_REPORTED;
    s->next_report = GW_NO_SOCKET;
    if (e->reports.first == GW_NO_SOCKET) {
        e->reports.first = socket;
    } else {
        e->sockets[e->reports.last].next_report = socket;
    }
    e->reports.last = socket;
}

// Requests.

static void gw_epoll_receive_start(struct gw_io *io, uint32_t socket) {
    struct gw_io_epoll *e = gw_epoll(io);
    e->sockets[socket].flags |= GW_EPOLL_WANTED;
    gw_epoll_make_ready(e, socket);
}

static void gw_epoll_receive_pause(struct gw_io *io, uint32_t socket) {
    gw_epoll(io)->sockets[socket].flags &= (uint8_t)~GW_EPOLL_WANTED;
}

static void gw_epoll_buffers_return(struct gw_io *io, const uint32_t *buffers, unsigned count) {
    struct gw_io_epoll *e = gw_epoll(io);
    assert(e->buffers_free + count <= io->receive_buffers);
    for (unsigned i = 0; i < count; i++) {
        e->buffers[e->buffers_free++] = buffers[i];
    }
}

static ssize_t gw_epoll_send_pieces(int fd, const struct iovec *iov, unsigned count) {
    // sendmsg takes what it is given as const and declares otherwise.
    const struct msghdr message = { .msg_iov = (struct iovec *)(uintptr_t)iov, .msg_iovlen = count };
    return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

// One piece costs the kernel less by send.
int32_t gw_epoll_try_send(struct gw_io_epoll *e, int fd, const struct iovec *iov, unsigned count) {
    ssize_t sent;
    do {
        sent = count == 1 ? send(fd, iov->iov_base, iov->iov_len, MSG_NOSIGNAL | MSG_DONTWAIT)
                          : gw_epoll_send_pieces(fd, iov, count);
        e->stats.syscalls++;
    } while (sent < 0 && errno == EINTR);
    if (sent < 0) {
        return errno == EAGAIN ? 0 : -errno;
    }
    return sent < INT32_MAX ? (int32_t)sent : INT32_MAX;
}

static void gw_epoll_send(struct gw_io *io, uint32_t socket, const struct iovec *iov, unsigned count) {
    struct gw_io_epoll *e = gw_epoll(io);
    struct gw_epoll_socket *s = &e->sockets[socket];
    assert(count >= 1 && count <= GW_IO_IOV_MAX
           && (s->flags & (GW_EPOLL_OPEN | GW_EPOLL_SENDING | GW_EPOLL_CLOSING)) == GW_EPOLL_OPEN);
    s->flags |= GW_EPOLL_SENDING;
    s->result = gw_epoll_try_send(e, s->fd, iov, count);
    if (s->result == 0) {
        s->unsent = iov[0];
    } else {
        gw_epoll_report(e, socket);
    }
}

static void gw_epoll_shutdown(struct gw_io *io, uint32_t socket) {
    struct gw_io_epoll *e = gw_epoll(io);
    e->stats.syscalls++;
    // A peer that is gone already has nothing left to be told.
    (void)shutdown(e->sockets[socket].fd, SHUT_WR);
}

// The kernel forgets the descriptor's registration with it. Should a child of a fork still hold it open, its edges
// are of an old generation.
static void gw_epoll_close(struct gw_io *io, uint32_t socket) {
    struct gw_io_epoll *e = gw_epoll(io);
    struct gw_epoll_socket *s = &e->sockets[socket];
    assert((s->flags & (GW_EPOLL_OPEN | GW_EPOLL_CLOSING)) == GW_EPOLL_OPEN);
    e->stats.syscalls++;
    close(s->fd);
    s->generation++;
    s->flags = (uint8_t)(GW_EPOLL_CLOSING | (s->flags & (GW_EPOLL_LISTED | GW_EPOLL_REPORTED)));
    gw_epoll_report(e, socket);
}

// What waits to be told.

static void gw_epoll_tell(struct gw_io_epoll *e, uint32_t socket, struct gw_io_event *event) {
    struct gw_epoll_socket *s = &e->sockets[socket];
    s->flags &= (uint8_t)~GW_EPOLL_REPORTED;
    if (s->flags & GW_EPOLL_CLOSING) {
        *event = (struct gw_io_event){ .kind = GW_IO_CLOSED, .socket = socket };
        s->flags &= GW_EPOLL_LISTED;
        s->next_report = e->socket_free;
        e->socket_free = socket;
        e->sockets_open--;
    } else {
        *event = (struct gw_io_event){ .kind = GW_IO_SENT, .socket = socket, .result = s->result };
        s->flags &= (uint8_t)~GW_EPOLL_SENDING;
    }
}

static unsigned gw_epoll_tell_reports(struct gw_io_epoll *e, struct gw_io_event *events, unsigned capacity) {
    unsigned count = 0;
    while (count < capacity && e->reports.first != GW_NO_SOCKET) {
        const uint32_t socket = e->reports.first;
        e->reports.first = e->sockets[socket].next_report;
        gw_epoll_tell(e, socket, &events[count++]);
    }
    return count;
}

// Receiving.

// Into so many of the free buffers, in their order. Both return bytes, 0 for the end, or -1 with errno.
__attribute__((noinline))
static ssize_t gw_epoll_take_into(const struct gw_io_epoll *e, int fd, unsigned buffers) {
    struct iovec iov[GW_EPOLL_BUFFERS_MAX];
    const uint32_t *next = &e->buffers[e->buffers_free];
    for (unsigned i = 0; i < buffers; i++) {
        iov[i] = (struct iovec){ gw_epoll_buffer(e, *--next), e->io.receive_buffer_bytes };
    }
    struct msghdr message = { .msg_iov = iov, .msg_iovlen = buffers };
    return recvmsg(fd, &message, MSG_DONTWAIT);
}

static inline ssize_t gw_epoll_take(struct gw_io_epoll *e, int fd, unsigned buffers) {
    e->stats.syscalls++;
    return buffers > 1 ? gw_epoll_take_into(e, fd, buffers)
                       : recv(fd, gw_epoll_buffer(e, e->buffers[e->buffers_free - 1]), e->io.receive_buffer_bytes, MSG_DONTWAIT);
}

// Hands out what lies in the next free buffers; returns the number of events.
static unsigned gw_epoll_hand_out(struct gw_io_epoll *e, uint32_t socket, size_t bytes, struct gw_io_event *events) {
    unsigned count = 0;
    while (bytes > 0) {
        const uint32_t buffer = e->buffers[--e->buffers_free], most = e->io.receive_buffer_bytes;
        const uint32_t part = bytes < most ? (uint32_t)bytes : most;
        events[count++] = (struct gw_io_event){ .data = gw_epoll_buffer(e, buffer), .kind = GW_IO_RECEIVED,
                                                .socket = socket, .buffer = buffer, .bytes = part };
        bytes -= part;
        e->bytes_left -= part < e->bytes_left ? part : e->bytes_left;
    }
    return count;
}

// One receive: into GW_EPOLL_BUFFERS_MAX after one that filled all of its own, into one fewer after each that did not.
// Writes at most capacity events and returns their number.
static unsigned gw_epoll_receive(struct gw_io_epoll *e, uint32_t socket, struct gw_io_event *events, unsigned capacity) {
    struct gw_epoll_socket *s = &e->sockets[socket];
    unsigned buffers = s->reach < e->buffers_free ? s->reach : e->buffers_free;
    buffers = buffers < capacity ? buffers : capacity;
    const ssize_t taken = gw_epoll_take(e, s->fd, buffers), bytes = taken < 0 ? -errno : taken;
    unsigned count = 1;
    if (bytes > 0) {
        count = gw_epoll_hand_out(e, socket, (size_t)bytes, events);
        if ((size_t)bytes == (size_t)buffers * e->io.receive_buffer_bytes) {
            s->reach = GW_EPOLL_BUFFERS_MAX;
        } else {
            s->reach -= s->reach > count;
            // A stream that gave less than there was room for has no more, and an edge tells when it has (epoll(7)).
            if (!(s->flags & GW_EPOLL_EXHAUST)) {
                s->flags &= (uint8_t)~GW_EPOLL_READABLE;
            }
        }
    } else if (bytes == -EAGAIN) {
        s->flags &= (uint8_t)~(GW_EPOLL_READABLE | GW_EPOLL_EXHAUST);
        return 0;
    } else if (bytes == -EINTR) {
        count = 0;
    } else {
        s->flags &= (uint8_t)~(GW_EPOLL_READABLE | GW_EPOLL_WANTED);
        *events = (struct gw_io_event){ .kind = GW_IO_ENDED, .socket = socket, .result = (int32_t)bytes };
    }
    gw_epoll_make_ready(e, socket);
    return count;
}

static int gw_epoll_may_receive(const struct gw_io_epoll *e, uint32_t socket) {
    const uint8_t all = GW_EPOLL_OPEN | GW_EPOLL_WANTED | GW_EPOLL_READABLE;
    return (e->sockets[socket].flags & all) == all;
}

// Those that waited for a buffer go first. Each socket that is ready now is looked at once, while the turn's bytes last.
static unsigned gw_epoll_receive_all(struct gw_io_epoll *e, struct gw_io_event *events, unsigned capacity) {
    unsigned count = 0;
    uint32_t looks = e->ready_count;
    e->bytes_left = GW_EPOLL_TURN_BYTES;
    while (count < capacity && e->buffers_free > 0 && e->bytes_left > 0 && e->starved.first != GW_NO_SOCKET) {
        const uint32_t socket = gw_epoll_ready_pop(e, &e->starved);
        if (gw_epoll_may_receive(e, socket)) {
            count += gw_epoll_receive(e, socket, &events[count], capacity - count);
        }
    }
    for (; looks > 0 && ((count < capacity && e->bytes_left > 0) || e->buffers_free == 0); looks--) {
        const uint32_t socket = gw_epoll_ready_pop(e, &e->ready);
        e->ready_count--;
        if (!gw_epoll_may_receive(e, socket)) {
            continue;
        }
        if (e->buffers_free == 0) {
            gw_epoll_ready_push(e, &e->starved, socket);
            e->stats.receive_starved++;
        } else {
            count += gw_epoll_receive(e, socket, &events[count], capacity - count);
        }
    }
    return count;
}

// The turn.

static void gw_epoll_edge(struct gw_io_epoll *e, uint64_t data, uint32_t edges) {
    const uint32_t socket = (uint32_t)data;
    if (socket == GW_EDGE_WAKE) {
        return;
    }
    if (socket == GW_EDGE_LISTEN) {
        e->accept_ready = 1;
        return;
    }
    struct gw_epoll_socket *s = &e->sockets[socket];
    if (!(s->flags & GW_EPOLL_OPEN) || s->generation != (uint16_t)(data >> 32)) {
        return;
    }
    const uint32_t failed = EPOLLHUP | EPOLLERR;
    if (edges & (EPOLLIN | EPOLLRDHUP | EPOLLPRI | failed)) {
        s->flags |= GW_EPOLL_READABLE;
        // An end that stands behind the bytes is told no second time, and urgent data splits a receive.
        if (edges & (EPOLLRDHUP | EPOLLPRI | failed)) {
            s->flags |= GW_EPOLL_EXHAUST;
        }
        gw_epoll_make_ready(e, socket);
    }
    if ((edges & (EPOLLOUT | failed)) && (s->flags & (GW_EPOLL_SENDING | GW_EPOLL_REPORTED)) == GW_EPOLL_SENDING) {
        s->result = s->record_type != 0 ? gw_epoll_try_record(e, s) : gw_epoll_try_send(e, s->fd, &s->unsent, 1);
        if (s->result != 0) {
            gw_epoll_report(e, socket);
        }
    }
}

static int gw_epoll_has_work(const struct gw_io_epoll *e) {
    return e->reports.first != GW_NO_SOCKET || e->ready.first != GW_NO_SOCKET
        || (e->starved.first != GW_NO_SOCKET && e->buffers_free > 0) || gw_epoll_may_accept(e);
}

// Up to a millisecond long rather than short: a wait that ends early would be taken up again.
static int gw_epoll_timeout_ms(uint64_t timeout_ns) {
    if (timeout_ns == UINT64_MAX) {
        return -1;
    }
    const uint64_t ms = timeout_ns / 1000000 + (timeout_ns % 1000000 != 0);
    return ms < INT_MAX ? (int)ms : INT_MAX;
}

static int gw_epoll_wait_for_edges(struct gw_io_epoll *e, uint64_t timeout_ns) {
    struct epoll_event edges[GW_EPOLL_EVENTS];
    if (timeout_ns != 0 && (gw_epoll_has_work(e) || !gw_wake_begin_wait(&e->wake))) {
        timeout_ns = 0;
    }
    const int count = epoll_wait(e->poll_fd, edges, GW_EPOLL_EVENTS, gw_epoll_timeout_ms(timeout_ns));
    const int error = count < 0 ? -errno : 0;
    e->stats.syscalls++;
    gw_wake_end_wait(&e->wake);
    for (int i = 0; i < count; i++) {
        gw_epoll_edge(e, edges[i].data.u64, edges[i].events);
    }
    return error == -EINTR ? 0 : error;
}

// Reports get half of the room before the others and what is left after them, so that neither starves the other.
int gw_epoll_turn(struct gw_io *io, uint64_t timeout_ns, struct gw_io_event *events, unsigned capacity) {
    struct gw_io_epoll *e = gw_epoll(io);
    assert(capacity >= 2);
    const int error = gw_epoll_wait_for_edges(e, timeout_ns);
    if (error < 0) {
        return error;
    }
    unsigned count = gw_epoll_tell_reports(e, events, capacity / 2);
    count += gw_epoll_accept(e, events + count, capacity - count);
    count += gw_epoll_receive_all(e, events + count, capacity - count);
    count += gw_epoll_tell_reports(e, events + count, capacity - count);
    return (int)count;
}

static void gw_epoll_wake(struct gw_io *io) { gw_wake_signal(&gw_epoll(io)->wake); }

static void gw_epoll_read_stats(const struct gw_io *io, struct gw_io_stats *stats) {
    *stats = ((const struct gw_io_epoll *)io)->stats;
}

const struct gw_io_ops gw_epoll_ops = {
    .name = "epoll",
    .destroy = gw_epoll_destroy,
    .listen = gw_epoll_listen,
    .stop_listening = gw_epoll_stop_listening,
    .accept_resume = gw_epoll_accept_resume,
    .receive_start = gw_epoll_receive_start,
    .receive_pause = gw_epoll_receive_pause,
    .buffers_return = gw_epoll_buffers_return,
    .send = gw_epoll_send,
    .shutdown = gw_epoll_shutdown,
    .close = gw_epoll_close,
    .turn = gw_epoll_turn,
    .wake = gw_epoll_wake,
    .now_ms = gw_clock_coarse_ms,
    .read_stats = gw_epoll_read_stats,
    .set_option = gw_epoll_set_option,
    .send_record = gw_epoll_send_record,
};
