// The one I/O interface under a reactor: listen, accept, receive, send, close, wake, time. Backends stand
// behind it and the rest of the core cannot tell which one it has, but for its everyday ways, which know
// gw_uring_front.h; each has its own create function (gw_io_uring.h, gw_io_epoll.h) and fills a struct gw_io_ops.
//
// Owner: one reactor. Thread: create, listen and the first requests may run on any one thread; from the first
// gw_io_turn on everything belongs to the thread that turns, but for gw_io_wake, which is any thread's.
//
// What a request (send, close, ...) did is never told by the request but by gw_io_turn, which returns what has
// completed since, as events: nothing is acted on where it arrives. A backend may note requests down and submit
// all of them with the turn, in one system call.
//
// A socket is a number in [0, sockets_max), chosen by the backend at accept, free again after GW_IO_CLOSED.
//   at most one send a socket is under way
//   the bytes of a send stay untouched until its GW_IO_SENT or GW_IO_CLOSED
//   after gw_io_close no event names the socket but GW_IO_CLOSED, which always comes
// A receive buffer belongs to the reactor from GW_IO_RECEIVED until gw_io_buffers_return.
#ifndef GW_IO_H
#define GW_IO_H

#include <stdint.h>
#include <sys/uio.h>

enum { GW_IO_IOV_MAX = 16, GW_IO_BACKLOG = 1024 };

enum { GW_RECORD_ALERT = 21, GW_RECORD_HANDSHAKE = 22 };   // types of gw_io_send_record, RFC 8446 section 5.1

enum gw_io_kind {
    GW_IO_ACCEPTED,       // socket, peer; receiving has not started
    GW_IO_RECEIVED,       // socket, data, bytes (> 0), buffer
    GW_IO_ENDED,          // socket: no more will be received; result: 0 for an orderly end, else -errno
    GW_IO_SENT,           // socket; result: bytes taken (> 0, perhaps not all), or -errno
    GW_IO_CLOSED,         // socket: its number and the memory of its last send are free
    GW_IO_ACCEPT_FAILED,  // result: -errno; accepting rests until gw_io_accept_resume
};

struct gw_io_event {
    union {
        uint8_t *data;
        uint64_t peer;    // whose socket it is (gw_peer.h), 0 when that was not asked for
    };
    uint32_t kind;
    uint32_t socket;
    uint32_t buffer;
    uint32_t bytes;
    int32_t result;
};

struct gw_io_config {
    uint32_t sockets_max;            // while all are in use accepting pauses by itself and the backlog waits
    uint32_t receive_buffers;        // a power of two, at most 32768
    uint32_t receive_buffer_bytes;   // a multiple of 64
    uint8_t peers_wanted;            // events tell whose socket was accepted
    uint8_t options_wanted;          // gw_io_set_option is to work, where the kernel has it
};

struct gw_io_stats {
    uint64_t syscalls;
    uint64_t receive_starved;        // receives that ended because every buffer was in use; they go on by themselves
    uint64_t bytes;                  // memory of the backend itself, receive buffers included
};

// setsockopt(2)'s.
struct gw_io_option {
    int level, name;
    const void *value;
    uint32_t bytes;
};

struct gw_io {
    const struct gw_io_ops *ops;
    struct gw_uring_front *front;    // gw_uring_front.h; NULL: all completions come as events
    uint8_t *receive_memory;         // buffer n lies at receive_memory + n * receive_buffer_bytes
    uint32_t receive_buffers;
    uint32_t receive_buffer_bytes;
};

struct gw_io_ops {
    const char *name;                // of the backend, for logs and metrics
    void (*destroy)(struct gw_io *io);
    int (*listen)(struct gw_io *io, const char *address, uint16_t port, int shared);
    void (*stop_listening)(struct gw_io *io);
    void (*accept_resume)(struct gw_io *io);
    void (*receive_start)(struct gw_io *io, uint32_t socket);
    void (*receive_pause)(struct gw_io *io, uint32_t socket);
    void (*buffers_return)(struct gw_io *io, const uint32_t *buffers, unsigned count);
    void (*send)(struct gw_io *io, uint32_t socket, const struct iovec *iov, unsigned count);
    void (*shutdown)(struct gw_io *io, uint32_t socket);
    void (*close)(struct gw_io *io, uint32_t socket);
    int (*turn)(struct gw_io *io, uint64_t timeout_ns, struct gw_io_event *events, unsigned capacity);
    void (*wake)(struct gw_io *io);
    uint64_t (*now_ms)(struct gw_io *io);
    void (*read_stats)(const struct gw_io *io, struct gw_io_stats *stats);
    int (*set_option)(struct gw_io *io, uint32_t socket, const struct gw_io_option *option);   // NULL: it has none
    void (*send_record)(struct gw_io *io, uint32_t socket, uint8_t type, const struct iovec *iov);
};

// Closes every socket at once.
static inline void gw_io_destroy(struct gw_io *io) { io->ops->destroy(io); }

// See gw_reactor_listen. Returns the port or -errno; -EALREADY while it listens.
static inline int gw_io_listen(struct gw_io *io, const char *address, uint16_t port, int shared) {
    return io->ops->listen(io, address, port, shared);
}
static inline void gw_io_stop_listening(struct gw_io *io) { io->ops->stop_listening(io); }
static inline void gw_io_accept_resume(struct gw_io *io) { io->ops->accept_resume(io); }

// Starts or goes on receiving until a pause, an end or a close.
static inline void gw_io_receive_start(struct gw_io *io, uint32_t socket) { io->ops->receive_start(io, socket); }
// What is in flight may still arrive after a pause.
static inline void gw_io_receive_pause(struct gw_io *io, uint32_t socket) { io->ops->receive_pause(io, socket); }
static inline void gw_io_buffers_return(struct gw_io *io, const uint32_t *buffers, unsigned count) {
    io->ops->buffers_return(io, buffers, count);
}

// count is in [1, GW_IO_IOV_MAX]; the iov itself may go when this returns.
static inline void gw_io_send(struct gw_io *io, uint32_t socket, const struct iovec *iov, unsigned count) {
    io->ops->send(io, socket, iov, count);
}
// The peer sees the end of the stream after what has been sent; receiving goes on. Not while a send is under way.
static inline void gw_io_shutdown(struct gw_io *io, uint32_t socket) { io->ops->shutdown(io, socket); }
// At once, while no send is under way: 0 or -errno. -EOVERFLOW: whether it was done is not known.
static inline int gw_io_set_option(struct gw_io *io, uint32_t socket, const struct gw_io_option *option) {
    return io->ops->set_option(io, socket, option);
}
// A send of a record of kernel TLS that holds no data but an alert or a handshake's message.
static inline void gw_io_send_record(struct gw_io *io, uint32_t socket, uint8_t type, const struct iovec *iov) {
    io->ops->send_record(io, socket, type, iov);
}
// At any time: a receive and a send under way are given up.
static inline void gw_io_close(struct gw_io *io, uint32_t socket) { io->ops->close(io, socket); }

// Waits at most timeout_ns (0: not at all, UINT64_MAX: for ever) and writes up to capacity events (>= 2).
// Returns their number or -errno. What did not fit comes with the next turn, which then does not wait.
static inline int gw_io_turn(struct gw_io *io, uint64_t timeout_ns, struct gw_io_event *events, unsigned capacity) {
    return io->ops->turn(io, timeout_ns, events, capacity);
}
// The current or next turn does not wait. Costs a system call only when the thread is waiting.
static inline void gw_io_wake(struct gw_io *io) { io->ops->wake(io); }

// A monotonic clock good for deadlines: some milliseconds coarse, cheap enough for every turn.
static inline uint64_t gw_io_now_ms(struct gw_io *io) { return io->ops->now_ms(io); }
static inline void gw_io_read_stats(const struct gw_io *io, struct gw_io_stats *stats) {
    io->ops->read_stats(io, stats);
}

#endif
