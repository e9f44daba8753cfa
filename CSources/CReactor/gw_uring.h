// What the files of the io_uring backend share: gw_io_uring.c (requests, completions, the turn),
// gw_uring_accept.c (listening), gw_uring_buffers.c (receive buffers), gw_uring_option.c (what kernel TLS needs),
// gw_uring_create.c (life), gw_uring_probe.c (what the kernel can). gw_io.h says what a backend does.
//
// Owned by one reactor and its thread; only wake is touched by others.
#ifndef GW_URING_H
#define GW_URING_H

#include <liburing.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "gw_kernel.h"
#include "gw_uring_front.h"

enum {
    GW_SUBMISSIONS = 1024,        // more in one turn are submitted early
    GW_COMPLETIONS_MIN = 8192,
    GW_MESSAGES = 64,             // vectored sends between two submits
    GW_ODD_MAX = 64,
    GW_SINGLE_ACCEPTS_MAX = 32,   // as many as bits in accept_singles
    GW_BUFFER_GROUP = 0,
};

// From Linux 6.10; values of its include/uapi/linux/io_uring.h. Debian 12's headers are older.
#ifndef IORING_RECVSEND_BUNDLE
#define IORING_RECVSEND_BUNDLE (1u << 4)
#define IORING_FEAT_RECVSEND_BUNDLE (1u << 14)
#endif

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

struct gw_message_scratch {
    struct msghdr header;
    struct iovec iov[GW_IO_IOV_MAX];
};

// Where a single accept writes whom it accepted.
struct gw_accept_scratch {
    struct sockaddr_in6 address;
    socklen_t length;
};

struct gw_io_uring {
    struct gw_io io;
    struct gw_uring_front front;
    struct io_uring ring;
    struct io_uring_buf_ring *buffers;
    struct gw_socket *sockets;
    uint32_t sockets_max;
    uint32_t sockets_open;
    uint32_t *idle;               // receive buffers out of use: the first idle_count
    uint32_t idle_count;
    uint32_t buffers_limit;       // those in use have numbers below; once it fell, others are until they are returned
    uint32_t buffers_low;         // fewer free ones than this change something
    uint32_t buffers_turns;       // until the limit is looked at
    uint64_t buffers_busy_ms;     // when it was last known to be needed
    uint8_t buffers_busy;         // needed since it was looked at
    uint8_t buffers_retiring;     // buffers in use have numbers beyond it
    uint32_t starved_first, starved_last;
    uint32_t messages_used;       // the kernel copies them at submit
    uint16_t odd[GW_ODD_MAX];     // requests that are no sends, to be cleared before a short send takes their place:
    uint32_t odd_count;           // so many since the last row; above GW_ODD_MAX they are not known
    uint32_t accept_singles;      // a bit for each single accept in the kernel
    int listen_fd;
    uint16_t listen_generation;
    uint16_t options_set;
    uint8_t accept_many;          // a multishot accept is in the kernel
    uint8_t accept_many_ending;
    uint8_t accept_resting;
    uint8_t peers_wanted;
    uint8_t wake_armed;
    uint8_t enabled;
    uint8_t short_sends;          // the kernel tells what it did not take of them
    uint8_t bundles;              // the kernel has them: a receive takes as many buffers as it has bytes for
    uint32_t bundle_taken;        // by turns so far, bytes of the bundle that is the next completion
    struct gw_wake wake;
    struct gw_io_stats stats;
    struct gw_message_scratch messages[GW_MESSAGES];
    struct gw_accept_scratch accepts[GW_SINGLE_ACCEPTS_MAX];
};

static inline struct gw_io_uring *gw_uring(struct gw_io *io) { return (struct gw_io_uring *)io; }

// Taking a request may submit those before it.
void gw_uring_submit_early(struct gw_io_uring *u);
struct io_uring_sqe *gw_uring_sqe_outside(struct gw_io_uring *u);   // of the row
static inline struct io_uring_sqe *gw_uring_sqe_of_send(struct gw_io_uring *u) {
    return gw_uring_row_is_full(&u->front) ? gw_uring_sqe_outside(u) : u->front.request++;
}
static inline struct io_uring_sqe *gw_uring_sqe(struct gw_io_uring *u) {
    struct io_uring_sqe *sqe = gw_uring_sqe_of_send(u);
    if (u->odd_count < GW_ODD_MAX) {
        u->odd[u->odd_count] = (uint16_t)(sqe - u->front.requests);
    }
    u->odd_count++;
    return sqe;
}
void gw_uring_cancel(struct gw_io_uring *u, uint64_t user_data);
// A send of pieces. The header may be added to; it and the pieces' table are copied by the kernel at the submit.
struct msghdr *gw_uring_send_message(struct gw_io_uring *u, uint32_t socket, const struct iovec *iov, unsigned count);

// gw_uring_buffers.c
void gw_uring_buffers_init(struct gw_io_uring *u);
void gw_uring_buffers_return(struct gw_io *io, const uint32_t *buffers, unsigned count);
void gw_uring_buffers_starved(struct gw_io_uring *u);
void gw_uring_buffers_adjust(struct gw_io_uring *u);
// At a turn's end.
static inline void gw_uring_buffers_look(struct gw_io_uring *u) {
    if (__builtin_expect(--u->buffers_turns == 0 || u->front.buffers_free < u->buffers_low, 0)) {
        gw_uring_buffers_adjust(u);
    }
}

// A socket's number is free again: writes the event and returns 1.
unsigned gw_uring_closed(struct gw_io_uring *u, uint32_t socket, struct gw_io_event *event);

// gw_uring_accept.c
int gw_uring_listen(struct gw_io *io, const char *address, uint16_t port, int shared);
void gw_uring_stop_listening(struct gw_io *io);
void gw_uring_accept_resume(struct gw_io *io);
void gw_uring_accept_arm(struct gw_io_uring *u);
// Writes at most two events and returns their number.
unsigned gw_uring_accepted(struct gw_io_uring *u, const struct io_uring_cqe *cqe, struct gw_io_event *event);

// gw_uring_probe.c: whether such sends, asked to be silent about success, are told with what they took when it was not all.
int gw_uring_tells_what_it_took(uint32_t message_flags);

// gw_uring_option.c
int gw_uring_set_option(struct gw_io *io, uint32_t socket, const struct gw_io_option *option);
void gw_uring_send_record(struct gw_io *io, uint32_t socket, uint8_t type, const struct iovec *iov);

// gw_uring_create.c
void gw_uring_destroy(struct gw_io *io);

// gw_io_uring.c
int gw_uring_begin(struct gw_io *io, uint64_t timeout_ns);
unsigned gw_uring_complete(struct gw_io *io, const struct io_uring_cqe *cqe, struct gw_io_event *event);
void gw_uring_end(struct gw_io *io, unsigned head);
extern const struct gw_io_ops gw_uring_ops;

#endif
