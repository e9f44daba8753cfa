// The io_uring backend: its requests, their completions, the turn; gw_io.h says what a backend does.
//
// A socket's requests are its multishot receive, at most one send and a shutdown. All name the socket in their
// user_data; a close waits until none is under way, so that no completion of a former owner of the
// number can arrive later, but for the close's own, which the generation tells apart.
//
// Owner and thread: the reactor's, as gw_uring.h says.
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gw_uring.h"

struct gw_uring_front gw_uring_no_front = { .epoch = 1 };

// Requests.

static void gw_uring_submitted(struct gw_io_uring *u) {
    u->stats.syscalls++;
    if (io_uring_sq_ready(&u->ring) == 0) {
        u->messages_used = 0;
    }
}

// Only a kernel short of memory takes nothing, and that passes: a request is never dropped.
void gw_uring_submit_early(struct gw_io_uring *u) {
    gw_uring_close_row(&u->front);
    while (io_uring_submit(&u->ring) < 0) {
        u->stats.syscalls++;
        sched_yield();
    }
    gw_uring_submitted(u);
}

struct io_uring_sqe *gw_uring_sqe_outside(struct gw_io_uring *u) {
    struct io_uring_sqe *sqe;
    gw_uring_end_row(&u->front);
    while ((sqe = io_uring_get_sqe(&u->ring)) == NULL) {
        gw_uring_submit_early(u);
    }
    gw_uring_begin_row(&u->front);
    return sqe;
}

// Its own completion is of no interest, and a target that has already completed is no error.
void gw_uring_cancel(struct gw_io_uring *u, uint64_t user_data) {
    struct io_uring_sqe *sqe = gw_uring_sqe(u);
    io_uring_prep_cancel64(sqe, user_data, 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = gw_request_pack(GW_QUIET, 0, 0);
}

static void gw_uring_receive_arm(struct gw_io_uring *u, uint32_t socket) {
    struct gw_socket *s = &u->sockets[socket];
    struct io_uring_sqe *sqe = gw_uring_sqe(u);
    io_uring_prep_recv_multishot(sqe, (int)socket, NULL, 0, 0);
    sqe->ioprio |= u->bundles ? IORING_RECVSEND_BUNDLE : 0;
    sqe->flags |= IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
    sqe->buf_group = GW_BUFFER_GROUP;
    sqe->user_data = gw_request_pack(GW_RECEIVE, s->generation, socket);
    s->flags |= GW_SOCKET_RECEIVING;
}

static void gw_uring_receive_start(struct gw_io *io, uint32_t socket) {
    struct gw_io_uring *u = gw_uring(io);
    struct gw_socket *s = &u->sockets[socket];
    s->flags |= GW_SOCKET_WANTED;
    if (!(s->flags & (GW_SOCKET_RECEIVING | GW_SOCKET_STARVED))) {
        gw_uring_receive_arm(u, socket);
    }
}

static void gw_uring_receive_pause(struct gw_io *io, uint32_t socket) {
    struct gw_io_uring *u = gw_uring(io);
    struct gw_socket *s = &u->sockets[socket];
    s->flags &= (uint8_t)~GW_SOCKET_WANTED;
    if ((s->flags & (GW_SOCKET_RECEIVING | GW_SOCKET_PAUSING)) == GW_SOCKET_RECEIVING) {
        s->flags |= GW_SOCKET_PAUSING;
        gw_uring_cancel(u, gw_request_pack(GW_RECEIVE, s->generation, socket));
    }
}

__attribute__((noinline))
struct msghdr *gw_uring_send_message(struct gw_io_uring *u, uint32_t socket, const struct iovec *iov, unsigned count) {
    while (u->messages_used == GW_MESSAGES) {
        gw_uring_submit_early(u);
    }
    // The request first: taking it may submit, and with that free the scratch entries.
    struct io_uring_sqe *sqe = gw_uring_sqe_of_send(u);
    struct gw_message_scratch *message = &u->messages[u->messages_used++];
    for (unsigned i = 0; i < count; i++) {
        message->iov[i] = iov[i];
    }
    message->header = (struct msghdr){ .msg_iov = message->iov, .msg_iovlen = count };
    io_uring_prep_sendmsg(sqe, (int)socket, &message->header, MSG_NOSIGNAL);
    sqe->flags |= IOSQE_FIXED_FILE;
    sqe->user_data = gw_request_pack(GW_SEND, u->sockets[socket].generation, socket);
    return &message->header;
}

static void gw_uring_send(struct gw_io *io, uint32_t socket, const struct iovec *iov, unsigned count) {
    struct gw_io_uring *u = gw_uring(io);
    struct gw_socket *s = &u->sockets[socket];
    assert(count >= 1 && count <= GW_IO_IOV_MAX && !(s->flags & (GW_SOCKET_SENDING | GW_SOCKET_CLOSING)));
    s->flags |= GW_SOCKET_SENDING;
    if (count > 1) {
        (void)gw_uring_send_message(u, socket, iov, count);
        return;
    }
    // Written whole and in order.
    *gw_uring_sqe_of_send(u) = (struct io_uring_sqe){
        .opcode = IORING_OP_SEND, .flags = IOSQE_FIXED_FILE, .fd = (int)socket,
        .addr = (uint64_t)(uintptr_t)iov->iov_base, .len = (uint32_t)iov->iov_len, .msg_flags = MSG_NOSIGNAL,
        .user_data = gw_request_pack(GW_SEND, s->generation, socket),
    };
}

static void gw_uring_shutdown(struct gw_io *io, uint32_t socket) {
    struct gw_io_uring *u = gw_uring(io);
    struct gw_socket *s = &u->sockets[socket];
    struct io_uring_sqe *sqe = gw_uring_sqe(u);
    io_uring_prep_shutdown(sqe, (int)socket, SHUT_WR);
    sqe->flags |= IOSQE_FIXED_FILE;
    sqe->user_data = gw_request_pack(GW_SHUTDOWN, s->generation, socket);
    s->flags |= GW_SOCKET_SHUTTING;
}

static void gw_uring_close_when_quiet(struct gw_io_uring *u, uint32_t socket) {
    struct gw_socket *s = &u->sockets[socket];
    if (s->flags & (GW_SOCKET_RECEIVING | GW_SOCKET_SENDING | GW_SOCKET_SHUTTING)) {
        return;
    }
    struct io_uring_sqe *sqe = gw_uring_sqe(u);
    io_uring_prep_close_direct(sqe, socket);
    sqe->user_data = gw_request_pack(GW_CLOSE, s->generation, socket);
}

static void gw_uring_close(struct gw_io *io, uint32_t socket) {
    struct gw_io_uring *u = gw_uring(io);
    struct gw_socket *s = &u->sockets[socket];
    assert((s->flags & (GW_SOCKET_OPEN | GW_SOCKET_CLOSING)) == GW_SOCKET_OPEN);
    gw_uring_receive_pause(io, socket);
    if (s->flags & GW_SOCKET_SENDING) {
        gw_uring_cancel(u, gw_request_pack(GW_SEND, s->generation, socket));
    }
    s->flags |= GW_SOCKET_CLOSING;
    gw_uring_close_when_quiet(u, socket);
}

// Receivers that found no buffer, in the order in which they came.

static void gw_uring_starved_push(struct gw_io_uring *u, uint32_t socket) {
    struct gw_socket *s = &u->sockets[socket];
    u->stats.receive_starved++;
    if (s->flags & GW_SOCKET_STARVED) {
        return;
    }
    s->flags |= GW_SOCKET_STARVED;
    s->next_starved = GW_NO_SOCKET;
    if (u->starved_first == GW_NO_SOCKET) {
        u->starved_first = socket;
    } else {
        u->sockets[u->starved_last].next_starved = socket;
    }
    u->starved_last = socket;
}

// No more of them than there are buffers, or most would only starve again.
static void gw_uring_starved_resume(struct gw_io_uring *u) {
    uint32_t buffers = u->front.buffers_free;
    while (u->starved_first != GW_NO_SOCKET && buffers > 0) {
        const uint32_t socket = u->starved_first;
        struct gw_socket *s = &u->sockets[socket];
        u->starved_first = s->next_starved;
        s->flags &= (uint8_t)~GW_SOCKET_STARVED;
        if ((s->flags & (GW_SOCKET_WANTED | GW_SOCKET_RECEIVING)) == GW_SOCKET_WANTED) {
            gw_uring_receive_arm(u, socket);
            buffers--;
        }
    }
}

// Completions. Each writes at most two events and returns their number.

unsigned gw_uring_closed(struct gw_io_uring *u, uint32_t socket, struct gw_io_event *event) {
    struct gw_socket *s = &u->sockets[socket];
    s->flags &= GW_SOCKET_STARVED;
    s->generation++;
    u->sockets_open--;
    *event = (struct gw_io_event){ .kind = GW_IO_CLOSED, .socket = socket };
    return 1;
}

static unsigned gw_uring_received(struct gw_io_uring *u, const struct io_uring_cqe *cqe, struct gw_io_event *event) {
    const uint32_t socket = gw_request_socket(cqe->user_data);
    struct gw_socket *s = &u->sockets[socket];
    unsigned count = 0;
    if (cqe->res > 0) {
        assert(cqe->flags & IORING_CQE_F_BUFFER);
        const uint32_t buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        u->front.buffers_free--;
        if (s->flags & GW_SOCKET_CLOSING) {
            gw_uring_buffers_return(&u->io, &buffer, 1);
        } else {
            event->kind = GW_IO_RECEIVED;
            event->socket = socket;
            event->buffer = buffer;
            event->bytes = (uint32_t)cqe->res;
            event->data = u->io.receive_memory + (size_t)buffer * u->io.receive_buffer_bytes;
            count = 1;
        }
    } else if (cqe->res == -ENOBUFS) {
        gw_uring_starved_push(u, socket);
    } else if (cqe->res != -ECANCELED && !(s->flags & GW_SOCKET_CLOSING)) {
        s->flags &= (uint8_t)~GW_SOCKET_WANTED;
        *event = (struct gw_io_event){ .kind = GW_IO_ENDED, .socket = socket, .result = cqe->res };
        count = 1;
    }
    if (!(cqe->flags & IORING_CQE_F_MORE)) {
        s->flags &= (uint8_t)~(GW_SOCKET_RECEIVING | GW_SOCKET_PAUSING);
        if (s->flags & GW_SOCKET_CLOSING) {
            gw_uring_close_when_quiet(u, socket);
        } else if ((s->flags & (GW_SOCKET_WANTED | GW_SOCKET_STARVED)) == GW_SOCKET_WANTED) {
            gw_uring_receive_arm(u, socket);
        }
    }
    return count;
}

static unsigned gw_uring_sent(struct gw_io_uring *u, const struct io_uring_cqe *cqe, struct gw_io_event *event) {
    const uint32_t socket = gw_request_socket(cqe->user_data);
    struct gw_socket *s = &u->sockets[socket];
    s->flags &= (uint8_t)~GW_SOCKET_SENDING;
    if (s->flags & GW_SOCKET_CLOSING) {
        gw_uring_close_when_quiet(u, socket);
        return 0;
    }
    event->kind = GW_IO_SENT;
    event->socket = socket;
    event->result = cqe->res;
    return 1;
}

// The kernel shuts down on another thread and looks the socket up only there: were it closed before, its number's next
// owner would be met.
static unsigned gw_uring_shut(struct gw_io_uring *u, const struct io_uring_cqe *cqe) {
    const uint32_t socket = gw_request_socket(cqe->user_data);
    u->sockets[socket].flags &= (uint8_t)~GW_SOCKET_SHUTTING;
    if (u->sockets[socket].flags & GW_SOCKET_CLOSING) {
        gw_uring_close_when_quiet(u, socket);
    }
    return 0;
}

static inline unsigned gw_uring_handle(struct gw_io_uring *u, const struct io_uring_cqe *cqe, struct gw_io_event *event) {
    switch (gw_request_kind(cqe->user_data)) {
    case GW_RECEIVE:
        return gw_uring_received(u, cqe, event);
    case GW_SEND:
        return gw_uring_sent(u, cqe, event);
    case GW_ACCEPT_MANY:
    case GW_ACCEPT_ONE:
        return gw_uring_accepted(u, cqe, event);
    case GW_SHUTDOWN:
        return gw_uring_shut(u, cqe);
    case GW_CLOSE: {
        const uint32_t socket = gw_request_socket(cqe->user_data);
        const int current = u->sockets[socket].generation == gw_request_generation(cqe->user_data);
        return current ? gw_uring_closed(u, socket, event) : 0;
    }
    case GW_WAKE:
        u->wake_armed = (cqe->flags & IORING_CQE_F_MORE) != 0;
        return 0;
    case GW_QUIET:
    case GW_SEND_SHORT:   // who sends those walks the completions itself
        return 0;
    }
    return 0;
}

static unsigned gw_uring_next_part(struct gw_io_uring *u, const struct io_uring_cqe *bundle, struct gw_io_event *event) {
    const struct io_uring_cqe part = gw_uring_part(&u->front, bundle, u->bundle_taken);
    u->bundle_taken += (uint32_t)part.res;
    if (u->bundle_taken == (uint32_t)bundle->res) {
        u->bundle_taken = 0;
    }
    return gw_uring_handle(u, &part, event);
}

unsigned gw_uring_complete(struct gw_io *io, const struct io_uring_cqe *cqe, struct gw_io_event *event) {
    return gw_uring_handle(gw_uring(io), cqe, event);
}

// The turn.

// Each write to the eventfd wakes a multishot poll anew.
static void gw_uring_wake_arm(struct gw_io_uring *u) {
    if (!u->wake_armed) {
        struct io_uring_sqe *sqe = gw_uring_sqe(u);
        io_uring_prep_poll_multishot(sqe, u->wake.fd, POLLIN);
        sqe->user_data = gw_request_pack(GW_WAKE, 0, 0);
        u->wake_armed = 1;
    }
}

static int gw_uring_enable(struct gw_io_uring *u) {
    // liburing 2.3 declares a function for this and does not export it.
    if (syscall(SYS_io_uring_register, u->ring.ring_fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0) != 0) {
        return -errno;
    }
    // Saves the kernel a look-up each turn; where it is refused nothing is lost.
    (void)io_uring_register_ring_fd(&u->ring);
    u->enabled = 1;
    return 0;
}

// Deferred work and overflown completions are in the kernel's hands until somebody enters it.
static int gw_uring_kernel_has_work(const struct gw_io_uring *u) {
    const unsigned flags = __atomic_load_n(u->ring.sq.kflags, __ATOMIC_RELAXED);
    return (flags & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

static int gw_uring_enter(struct gw_io_uring *u, uint64_t timeout_ns) {
    if (timeout_ns != 0 && (io_uring_cq_ready(&u->ring) > 0 || !gw_wake_begin_wait(&u->wake))) {
        timeout_ns = 0;
    }
    gw_uring_close_row(&u->front);
    int result = 0;
    if (timeout_ns != 0) {
        struct io_uring_cqe *cqe;
        struct __kernel_timespec timeout = { .tv_sec = (long long)(timeout_ns / 1000000000u),
                                             .tv_nsec = (long long)(timeout_ns % 1000000000u) };
        result = io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1, timeout_ns == UINT64_MAX ? NULL : &timeout, NULL);
        gw_uring_submitted(u);
    } else if (io_uring_sq_ready(&u->ring) > 0 || gw_uring_kernel_has_work(u)) {
        result = io_uring_submit_and_get_events(&u->ring);
        gw_uring_submitted(u);
    }
    gw_wake_end_wait(&u->wake);
    switch (result) {
    case -ETIME:
    case -EINTR:
    case -EAGAIN:   // the kernel is short of memory, or the completion queue overflowed: what was not
    case -EBUSY:    // submitted is submitted by the next turn
        return 0;
    default:
        return result < 0 ? result : 0;
    }
}

int gw_uring_begin(struct gw_io *io, uint64_t timeout_ns) {
    struct gw_io_uring *u = gw_uring(io);
    if (!u->enabled) {
        const int error = gw_uring_enable(u);
        if (error < 0) {
            return error;
        }
    }
    gw_uring_wake_arm(u);
    gw_uring_accept_arm(u);
    if (u->starved_first != GW_NO_SOCKET) {
        gw_uring_buffers_starved(u);
        gw_uring_starved_resume(u);
    }
    return gw_uring_enter(u, timeout_ns);
}

static void gw_uring_clear(struct gw_io_uring *u, unsigned at) {
    u->front.requests[at] = (struct io_uring_sqe){ .opcode = IORING_OP_NOP };
}

// Requests of before are cleared; those that wait to be submitted stay for the next row.
static void gw_uring_clear_odd(struct gw_io_uring *u) {
    const unsigned taken = *u->ring.sq.ktail, waiting = u->ring.sq.sqe_tail - taken, mask = u->ring.sq.ring_mask;
    if (u->odd_count <= GW_ODD_MAX) {
        for (uint32_t i = 0; i < u->odd_count; i++) {
            if (((u->odd[i] - taken) & mask) >= waiting) {
                gw_uring_clear(u, u->odd[i]);
            }
        }
    } else {
        for (unsigned at = u->ring.sq.sqe_tail; at != taken + u->ring.sq.ring_entries; at++) {
            gw_uring_clear(u, at & mask);
        }
    }
    u->odd_count = 0;
    for (unsigned at = taken; at != taken + waiting; at++) {
        if (u->odd_count < GW_ODD_MAX) {
            u->odd[u->odd_count] = (uint16_t)(at & mask);
        }
        u->odd_count++;
    }
}

void gw_uring_end(struct gw_io *io, unsigned head) {
    struct gw_io_uring *u = gw_uring(io);
    __atomic_store_n(u->ring.cq.khead, head, __ATOMIC_RELEASE);
    gw_uring_buffers_look(u);
    const int is_behind = head != *u->ring.cq.ktail || (*u->ring.sq.kflags & IORING_SQ_CQ_OVERFLOW)
                       || *u->ring.sq.khead != *u->ring.sq.ktail;
    if (!is_behind && u->short_sends) {
        if (u->odd_count > 0) {
            gw_uring_clear_odd(u);
        }
        gw_uring_open_row(&u->front);
    }
}

static int gw_uring_turn(struct gw_io *io, uint64_t timeout_ns, struct gw_io_event *events, unsigned capacity) {
    struct gw_io_uring *u = gw_uring(io);
    assert(capacity >= 2);
    const int error = gw_uring_begin(io, timeout_ns);
    if (error < 0) {
        return error;
    }
    const struct io_uring_cqe *completions = u->ring.cq.cqes;
    const unsigned head = *u->ring.cq.khead, mask = u->ring.cq.ring_mask;
    const unsigned ready = io_uring_cq_ready(&u->ring);
    unsigned seen = 0, count = 0;
    while (seen < ready && count + 2 <= capacity) {
        const struct io_uring_cqe *cqe = &completions[(head + seen) & mask];
        if (!gw_uring_is_bundle(&u->front, cqe)) {
            count += gw_uring_handle(u, cqe, &events[count]);
            seen++;
        } else {
            count += gw_uring_next_part(u, cqe, &events[count]);
            seen += u->bundle_taken == 0;
        }
    }
    gw_uring_end(io, head + seen);
    return (int)count;
}

static void gw_uring_wake(struct gw_io *io) { gw_wake_signal(&gw_uring(io)->wake); }

static void gw_uring_read_stats(const struct gw_io *io, struct gw_io_stats *stats) {
    *stats = ((const struct gw_io_uring *)io)->stats;
}

const struct gw_io_ops gw_uring_ops = {
    .name = "io_uring",
    .destroy = gw_uring_destroy,
    .listen = gw_uring_listen,
    .stop_listening = gw_uring_stop_listening,
    .accept_resume = gw_uring_accept_resume,
    .receive_start = gw_uring_receive_start,
    .receive_pause = gw_uring_receive_pause,
    .buffers_return = gw_uring_buffers_return,
    .send = gw_uring_send,
    .shutdown = gw_uring_shutdown,
    .close = gw_uring_close,
    .turn = gw_uring_turn,
    .wake = gw_uring_wake,
    .now_ms = gw_clock_coarse_ms,
    .read_stats = gw_uring_read_stats,
    .set_option = gw_uring_set_option,
    .send_record = gw_uring_send_record,
};
