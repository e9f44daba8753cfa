// The epoll backend's front (gw_uring_front.h): rings in memory of its own, so that everyday receives and short sends go
// their short way here too. A turn's beginning takes the requests of the row, one system call each, and leaves what a turn of
// gw_io.h tells as completions.
//
// Owner and thread: the reactor's, as gw_epoll.h says.
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "gw_epoll.h"

enum {
    GW_FRONT_REQUESTS = 1024,
    GW_FRONT_TOLD = 1024,          // events a turn
    GW_FRONT_COMPLETIONS = 2048,   // a turn's and those of every request
};

struct gw_epoll_front {
    unsigned head, tail;           // of the completions
    unsigned requests_taken, requests_tail;
    struct io_uring_sqe requests[GW_FRONT_REQUESTS];
    struct io_uring_cqe completions[GW_FRONT_COMPLETIONS];
    struct gw_io_event told[GW_FRONT_TOLD];
};

size_t gw_epoll_front_bytes(void) { return sizeof(struct gw_epoll_front); }

static void gw_front_complete(struct gw_epoll_front *rings, uint64_t data, int32_t result, uint32_t flags) {
    rings->completions[rings->tail++ % GW_FRONT_COMPLETIONS] =
        (struct io_uring_cqe){ .user_data = data, .res = result, .flags = flags };
}

// As io_uring does: says nothing when it took all.
static void gw_front_send(struct gw_io_epoll *e, const struct io_uring_sqe *request) {
    const struct gw_epoll_socket *s = &e->sockets[request->fd];
    if (request->opcode != IORING_OP_SEND || !(s->flags & GW_EPOLL_OPEN)) {
        return;   // recalled, or closed since
    }
    const struct iovec bytes = { (void *)(uintptr_t)request->addr, request->len };
    const int32_t sent = gw_epoll_try_send(e, s->fd, &bytes, 1);
    if (sent != (int32_t)request->len) {
        gw_front_complete(e->rings, request->user_data, sent == 0 ? -EAGAIN : sent, 0);
    }
}

static void gw_front_submit(struct gw_io_epoll *e) {
    struct gw_epoll_front *rings = e->rings;
    gw_uring_close_row(&e->front);
    for (; rings->requests_taken != rings->requests_tail; rings->requests_taken++) {
        gw_front_send(e, &rings->requests[rings->requests_taken % GW_FRONT_REQUESTS]);
    }
}

// Whatever is no receive is told by its number.
static void gw_front_tell(struct gw_epoll_front *rings, uint32_t number) {
    const struct gw_io_event *event = &rings->told[number];
    if (event->kind == GW_IO_RECEIVED) {
        gw_front_complete(rings, gw_request_pack(GW_RECEIVE, 0, event->socket), (int32_t)event->bytes,
                          event->buffer << IORING_CQE_BUFFER_SHIFT | IORING_CQE_F_BUFFER | IORING_CQE_F_MORE);
    } else {
        gw_front_complete(rings, gw_request_pack(GW_QUIET, 0, number), 0, 0);
    }
}

static int gw_epoll_begin(struct gw_io *io, uint64_t timeout_ns) {
    struct gw_io_epoll *e = gw_epoll(io);
    struct gw_epoll_front *rings = e->rings;
    gw_front_submit(e);
    const int is_behind = rings->head != rings->tail;
    const int count = gw_epoll_turn(io, is_behind ? 0 : timeout_ns, rings->told, GW_FRONT_TOLD);
    for (int i = 0; i < count; i++) {
        gw_front_tell(rings, (uint32_t)i);
    }
    return count < 0 ? count : 0;
}

static unsigned gw_epoll_complete(struct gw_io *io, const struct io_uring_cqe *cqe, struct gw_io_event *event) {
    const uint32_t number = gw_request_socket(cqe->user_data);
    if (gw_request_kind(cqe->user_data) == GW_RECEIVE) {
        const uint32_t buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        *event = (struct gw_io_event){ .data = gw_epoll_buffer(gw_epoll(io), buffer), .kind = GW_IO_RECEIVED,
                                       .socket = number, .buffer = buffer, .bytes = (uint32_t)cqe->res };
    } else {
        *event = gw_epoll(io)->rings->told[number];
    }
    return 1;
}

// Nothing is ever left: what was sent has been taken, or its end was among the completions.
static void gw_epoll_end(struct gw_io *io, unsigned head) {
    struct gw_io_epoll *e = gw_epoll(io);
    e->rings->head = head;
    gw_uring_open_row(&e->front);
}

int gw_epoll_front_open(struct gw_io_epoll *e) {
    struct gw_epoll_front *rings = calloc(1, sizeof *rings);
    if (rings == NULL) {
        return -ENOMEM;
    }
    e->rings = rings;
    e->front = (struct gw_uring_front){
        .completions = rings->completions, .head = &rings->head, .tail = &rings->tail, .mask = GW_FRONT_COMPLETIONS - 1,
        .buffer_bytes = e->io.receive_buffer_bytes,
        .requests = rings->requests, .request = rings->requests, .row = rings->requests, .row_end = rings->requests,
        .requests_taken = &rings->requests_taken, .requests_tail = &rings->requests_tail,
        .requests_count = GW_FRONT_REQUESTS, .epoch = 1,
        .begin = gw_epoll_begin, .complete = gw_epoll_complete, .end = gw_epoll_end,
    };
    e->io.front = &e->front;
    return 0;
}

void gw_epoll_front_close(struct gw_io_epoll *e) { free(e->rings); }
