// What the files of the epoll backend share: gw_io_epoll.c (requests, readiness, the turn), gw_epoll_front.c (everyday sends
// and receives), gw_epoll_accept.c (listening), gw_epoll_option.c (what kernel TLS needs), gw_epoll_create.c (life). gw_io.h
// says what a backend does.
//
// Every socket is registered once, edge-triggered, for all it can ever tell; what the edges told is kept in its
// flags, so that pausing, starving and resuming cost no system call. A readable socket is received from once a turn, into
// one buffer, or into several once it has filled one, and goes behind the others. A turn asks for GW_EPOLL_EVENTS edges, and
// one that has received GW_EPOLL_TURN_BYTES leaves the rest to the next: what a turn looks at should still be in the cache
// when it is read and sent, and not be more than the reactor hands out at a time.
//
// Owned by one reactor and its thread; only wake is touched by others.
//   READABLE and WANTED and OPEN => in one of the lists ready and starved
//   in a list => LISTED. It outlives the owner: a closed socket's number may stay in a list, and be given out
//   REPORTED <=> in the list reports, where its SENT or CLOSED waits to be told
//   SENDING => the send waits for an edge, or its result for being told
#ifndef GW_EPOLL_H
#define GW_EPOLL_H

#include "gw_kernel.h"
#include "gw_uring_front.h"

enum {
    GW_EPOLL_EVENTS = 64,        // edges a turn
    GW_EPOLL_ACCEPTS_MAX = 64,   // accepts a turn
    GW_EPOLL_BUFFERS_MAX = 16,   // a receive
    GW_EPOLL_TURN_BYTES = 512 * 1024,
};

enum gw_epoll_flags {
    GW_EPOLL_OPEN = 1,
    GW_EPOLL_WANTED = 2,         // the reactor wants to receive
    GW_EPOLL_READABLE = 4,       // and may
    GW_EPOLL_LISTED = 8,
    GW_EPOLL_EXHAUST = 16,       // only EAGAIN says that there is nothing more: no further edge need come
    GW_EPOLL_SENDING = 32,
    GW_EPOLL_REPORTED = 64,
    GW_EPOLL_CLOSING = 128,
};

struct gw_epoll_socket {
    struct iovec unsent;         // the first piece of a send that waits; the rest is the caller's next send
    int fd;
    int32_t result;              // of a send that is to be told
    uint32_t next_readable;
    uint32_t next_report;        // or the next free number
    uint16_t generation;         // tells an edge of a former owner from one of the present
    uint8_t flags;
    uint8_t reach;               // receive buffers for its next receive
    uint8_t record_type;         // of the send that waits, when it is a record of kernel TLS; else 0
};

struct gw_socket_list {
    uint32_t first, last;
};

struct gw_io_epoll {
    struct gw_io io;
    struct gw_uring_front front;
    struct gw_epoll_front *rings;
    struct gw_epoll_socket *sockets;
    uint32_t *buffers;           // those free are [0, buffers_free)
    uint32_t sockets_max;
    uint32_t sockets_open;
    uint32_t sockets_touched;    // numbers below this have been used at least once
    uint32_t socket_free;        // the first of those given back
    uint32_t buffers_free;
    uint32_t ready_count;
    uint32_t bytes_left;         // to be received in this turn
    struct gw_socket_list ready;       // may have something to receive
    struct gw_socket_list starved;     // had, and found no buffer
    struct gw_socket_list reports;
    int poll_fd;
    int listen_fd;
    uint8_t accept_ready;        // the backlog was not seen empty since the last edge
    uint8_t accept_resting;
    uint8_t peers_wanted;
    struct gw_wake wake;
    struct gw_io_stats stats;
};

static inline struct gw_io_epoll *gw_epoll(struct gw_io *io) { return (struct gw_io_epoll *)io; }

static inline uint8_t *gw_epoll_buffer(const struct gw_io_epoll *e, uint32_t buffer) {
    return e->io.receive_memory + (size_t)buffer * e->io.receive_buffer_bytes;
}

// What an edge is about: a socket with its generation, or one of the two others.
#define GW_EDGE_WAKE UINT32_MAX
#define GW_EDGE_LISTEN (UINT32_MAX - 1)

// gw_epoll_accept.c
int gw_epoll_listen(struct gw_io *io, const char *address, uint16_t port, int shared);
void gw_epoll_stop_listening(struct gw_io *io);
void gw_epoll_accept_resume(struct gw_io *io);
int gw_epoll_may_accept(const struct gw_io_epoll *e);
// Accepts while it may and fewer than capacity events are written; returns their number.
unsigned gw_epoll_accept(struct gw_io_epoll *e, struct gw_io_event *events, unsigned capacity);

// gw_epoll_front.c. open: 0 or -ENOMEM.
int gw_epoll_front_open(struct gw_io_epoll *e);
void gw_epoll_front_close(struct gw_io_epoll *e);
size_t gw_epoll_front_bytes(void);

// gw_epoll_option.c
int gw_epoll_set_option(struct gw_io *io, uint32_t socket, const struct gw_io_option *option);
void gw_epoll_send_record(struct gw_io *io, uint32_t socket, uint8_t type, const struct iovec *iov);
// Tries a record that waits; returns as gw_epoll_try_send.
int32_t gw_epoll_try_record(struct gw_io_epoll *e, struct gw_epoll_socket *s);

// gw_epoll_create.c
int gw_epoll_watch(struct gw_io_epoll *e, int fd, uint32_t edges, uint64_t data);
void gw_epoll_destroy(struct gw_io *io);

// gw_io_epoll.c
// The socket's SENT or CLOSED is to be told.
void gw_epoll_report(struct gw_io_epoll *e, uint32_t socket);
// 0: no room, an edge will tell; else bytes or -errno.
int32_t gw_epoll_try_send(struct gw_io_epoll *e, int fd, const struct iovec *iov, unsigned count);
int gw_epoll_turn(struct gw_io *io, uint64_t timeout_ns, struct gw_io_event *events, unsigned capacity);
extern const struct gw_io_ops gw_epoll_ops;

#endif
