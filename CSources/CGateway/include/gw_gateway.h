// Ringway's core as the Swift layer sees it, whole: a gateway thread ("reactor") that accepts WebSocket
// connections, turns bytes into events, and queues frames for sending.
//
// Not here: what a message means, who may connect, which thread runs a reactor. The caller brings the
// thread and calls gw_reactor_turn in a loop.
//
// Threads: every function taking a gw_reactor belongs to the thread that calls gw_reactor_turn, but for
// gw_reactor_wake, which any thread may call while the reactor exists. Create and listen may run elsewhere
// before the first turn.
// Ownership: an event array and every payload in it are borrowed until the next gw_reactor_turn of the same
// reactor. A payload that must live longer is copied or leased (gw_payload_acquire).
// Errors: 0 or a count, else negative: -errno from the kernel, or a GW_E... code; gw_strerror names both.
#ifndef GW_GATEWAY_H
#define GW_GATEWAY_H

#include <stddef.h>
#include <stdint.h>

#include "gw_gateway_settings.h"

#if defined(__clang__)
#pragma clang assume_nonnull begin
#endif

struct gw_reactor;
struct gw_frame;    // one encoded frame, counted, queued to any number of connections of its reactor
struct gw_payload;  // a leased receive buffer or reassembled message

// A connection of one reactor: slot in the low 32 bits, generation in the high 32. An id is never reused
// within a reactor's life in practice (2^32 generations a slot); a stale one is GW_ENOCONN, never another
// client. 0 is no connection.
typedef uint64_t gw_conn_id;

enum gw_error {
    GW_ENOCONN = -10001,  // the id's connection has ended
    GW_EFULL = -10002,    // the connection's outbound queue is at its limit: GW_EVENT_WRITABLE follows
    GW_ENOBUFS = -10003,  // the reactor's slabs are empty; GW_EVENT_WRITABLE follows where a send failed
    GW_ETOOBIG = -10004,  // the frame is larger than any buffer class
    GW_ECLOSING = -10005, // a close frame has been queued: nothing more may be sent
    GW_EINVAL = -10006,   // an argument out of its range
    GW_ETLS_CERTIFICATE = -10007,  // tls_certificate_file: unreadable, or no PEM certificate
    GW_ETLS_KEY = -10008,          // tls_key_file: unreadable, or no PEM key without a passphrase
    GW_ETLS_MISMATCH = -10009,     // the key is not the certificate's
};
const char *gw_strerror(int error);

enum gw_event_kind {
    GW_EVENT_OPENED = 1,    // handshake answered with 101. data/length: the Authorization header's value
    GW_EVENT_MESSAGE = 2,   // one whole message. data/length: its payload, unmasked; text is valid UTF-8
    GW_EVENT_CLOSED = 3,    // the connection has ended; its id is stale from here on. code: see below
    GW_EVENT_WRITABLE = 4,  // the outbound queue that was full has drained to half its limit
};

enum gw_opcode { GW_TEXT = 1, GW_BINARY = 2 };

struct gw_event {
    gw_conn_id conn;
    uint8_t kind;         // enum gw_event_kind
    uint8_t opcode;       // MESSAGE: enum gw_opcode
    uint8_t subprotocol;  // OPENED: index into gw_config.subprotocols, or GW_NO_SUBPROTOCOL
    uint8_t reserved;
    // CLOSED: what the peer's close frame said, 1005 for a close frame without a code, 1006 for none at all
    // or the code with which this side ended the connection (1001 idle, 1002, 1007, 1009, 1013 no buffer to
    // join a message or to keep one waiting, or gw_conn_close's).
    uint16_t code;
    uint16_t lease;       // private: where gw_payload_acquire finds the payload's buffer
    uint64_t length;
    const uint8_t *_Nullable data;
};
#define GW_NO_SUBPROTOCOL 255

// With GW_BACKEND_IO_URING, -EPERM/-EACCES/-ENOSYS/-EINVAL: io_uring is refused or too old. -ENOMEM: the slabs did
// not fit; -EMFILE: connections_max is above RLIMIT_NOFILE; GW_EINVAL: a field is out of its range;
// GW_ETLS_...: the files.
int gw_reactor_create(const struct gw_config *config, struct gw_reactor *_Nullable *_Nonnull reactor);
// Ends every connection at once, without close frames. Frames and payloads have been released before.
void gw_reactor_destroy(struct gw_reactor *reactor);

// Binds address ("127.0.0.1" or "::1") and port and starts accepting. shared is 0 for the first reactor of a
// process, which then fails with -EADDRINUSE when anyone else listens there, and 1 for the others, which join
// the first one's port (SO_REUSEPORT). Port 0 picks a free one. Returns the port.
int gw_reactor_listen(struct gw_reactor *reactor, const char *address, uint16_t port, int shared);
void gw_reactor_stop_listening(struct gw_reactor *reactor);

// Connections from now on get this certificate and key, the others keep theirs: no socket is dropped, and sessions of
// before are resumed. GW_ETLS_...: nothing has changed. GW_EINVAL: the reactor speaks no TLS.
int gw_reactor_reload_tls(struct gw_reactor *reactor, const char *certificate_file, const char *key_file);

// Sends what was queued, waits at most timeout_ns (0: do not wait, UINT64_MAX: for ever) for something to
// happen, and hands out what happened, in order a connection. Returns the number of events, which may be 0.
int gw_reactor_turn(struct gw_reactor *reactor, uint64_t timeout_ns,
                    const struct gw_event *_Nullable *_Nonnull events);

// Any thread: the current or next gw_reactor_turn returns without waiting.
void gw_reactor_wake(struct gw_reactor *reactor);

// Copies a message into the connection's queue, as one frame; sent with all else by the next turn.
// 0, GW_ENOCONN, GW_EFULL, GW_ENOBUFS, GW_ETOOBIG, GW_ECLOSING.
int gw_conn_send(struct gw_reactor *reactor, gw_conn_id conn, enum gw_opcode opcode,
                 const uint8_t *_Nullable data, uint64_t length);

// The same with an event's message as it came: a long one is sent from where it lies.
int gw_conn_forward(struct gw_reactor *reactor, gw_conn_id conn, const struct gw_event *event);

// Fan-out: encode once, queue to many. The caller holds one count until gw_frame_release.
int gw_frame_create(struct gw_reactor *reactor, enum gw_opcode opcode, const uint8_t *_Nullable data,
                    uint64_t length, struct gw_frame *_Nullable *_Nonnull frame);
int gw_conn_send_frame(struct gw_reactor *reactor, gw_conn_id conn, struct gw_frame *frame);
void gw_frame_release(struct gw_reactor *reactor, struct gw_frame *frame);

// Starts the close handshake after what is queued: code, and a reason of at most 123 bytes of UTF-8 (NULL:
// none). Messages that still arrive are dropped; closing twice is harmless. GW_EVENT_CLOSED follows, within close_ms.
int gw_conn_close(struct gw_reactor *reactor, gw_conn_id conn, uint16_t code, const char *_Nullable reason);

// Replaces the idle deadline of one connection, counted from its last received byte; 0: never.
int gw_conn_set_idle(struct gw_reactor *reactor, gw_conn_id conn, uint32_t idle_ms);

// Says that the connection has shown who it is: it counts no longer towards untrusted_per_peer_max.
int gw_conn_trust(struct gw_reactor *reactor, gw_conn_id conn);

// Whose a connection is: 2^32 + an IPv4 address, or an IPv6 /64 (of ::1: UINT64_MAX). 0: trusted, ended, or none counted.
uint64_t gw_conn_peer(struct gw_reactor *reactor, gw_conn_id conn);

// Keeps an event's payload past its turn; data and length stay as they are until the release.
// NULL: no buffer can be held back from the kernel now (copy instead).
struct gw_payload *_Nullable gw_payload_acquire(struct gw_reactor *reactor, const struct gw_event *event);
void gw_payload_release(struct gw_reactor *reactor, struct gw_payload *payload);

// "io_uring" or "epoll". refusal: the error (-errno) with which io_uring was refused to GW_BACKEND_AUTOMATIC, else 0.
const char *gw_reactor_backend(const struct gw_reactor *reactor, int *refusal);
uint32_t gw_reactor_kernel_tls(const struct gw_reactor *reactor);   // the kernel encrypts: bit 0 of TLS 1.2, bit 1 of 1.3

struct gw_stats {
    uint64_t accepted, closed;        // connections since the start
    uint64_t handshakes_failed, peers_refused, peers_displaced;    // see untrusted_per_peer_max, untrusted_max
    uint64_t messages_in, messages_out, turns, syscalls;
    uint64_t bytes_in, bytes_out;     // on the socket
    uint64_t bytes_inflated;          // of messages, those that were never whole too
    uint64_t receive_starved;         // receives that ended because the kernel's ring was empty
    uint64_t connections, pool_bytes; // now; bytes of the buffers held
    uint64_t gathered_bytes;          // and of them, by messages not yet whole: at most half of pool_bytes_max
    uint64_t deflate_bytes;           // of deflate_bytes_max, promised to connections now
    uint64_t core_bytes;              // reactor, connections' slots touched so far, rings
};
void gw_reactor_stats(const struct gw_reactor *reactor, struct gw_stats *stats);

#if defined(__clang__)
#pragma clang assume_nonnull end
#endif
#endif
