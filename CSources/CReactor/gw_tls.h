// What the files of the TLS layer share: gw_io_tls.c (requests, the turn), gw_tls_input.c (ciphertext to events),
// gw_tls_output.c (plaintext to ciphertext, and what of it has left), gw_tls_context.c (certificates, tickets).
// gw_io_tls.h says what the layer promises.
//
// All of OpenSSL's reading and writing goes through one BIO for all sockets: the calls are synchronous, so that
// `current` says whose they are. Plaintext lies in receive buffers of the layer's own; those of the backend below are
// given back in the turn that brought them, and what could not be decrypted then waits in pool buffers.
//
// Owner: one reactor; thread: its.
//   ssl != NULL <=> from the first byte to the close; SLOT <=> counted in handshakes
//   in != NULL => the backend is told to receive no more
//   out_bytes = sum of the lengths of out_first ...: ciphertext not yet taken; INNER_SENDING => its head is under way
//   send_reported <= send_plain: plaintext that is encrypted and plaintext that was told to be taken
#ifndef GW_TLS_H
#define GW_TLS_H

#include <openssl/ssl.h>

#include "gw_io_tls.h"
#include "gw_kernel.h"
#include "gw_pool.h"

enum {
    GW_TLS_RECORD_BYTES = 16384,              // plaintext of the longest record, RFC 8446 section 5.1
    GW_TLS_RECORD_ROOM = 256,                 // what a record adds, with a key update before it
    GW_TLS_SEND_BYTES_MAX = 128 * 1024,       // plaintext encrypted at a time
    GW_TLS_OUT_BYTES_MAX = 256 * 1024,        // a peer that makes us answer and reads nothing is cut off at this
    GW_TLS_EVENTS = 1024,
};

enum gw_tls_flags {
    GW_TLS_WANTED = 1,           // the caller wants to receive
    GW_TLS_RECEIVING = 2,        // the backend has been told so
    GW_TLS_INNER_ENDED = 4,      // and has nothing more
    GW_TLS_END_DUE = 8,          // the caller is to be told end_result,
    GW_TLS_ENDED = 16,           // and was
    GW_TLS_SLOT = 32,            // one of the handshakes in progress
    GW_TLS_SECURE = 64,          // the handshake is done
    GW_TLS_BROKEN = 128,         // OpenSSL must not be asked again
    GW_TLS_SENDING = 256,        // the caller waits for SENT
    GW_TLS_INNER_SENDING = 512,
    GW_TLS_SHUT = 1024,          // the end follows what is queued
    GW_TLS_CLOSING = 2048,
    // Membership of lists, which outlives the owner of the number.
    GW_TLS_IN_READY = 4096,
    GW_TLS_IN_REPORTS = 8192,    // or among the dry
    GW_TLS_IN_WAITING = 16384,
    GW_TLS_WAITING = 32768,      // for a slot, by this owner
};

struct gw_tls_socket {
    SSL *ssl;
    struct gw_buf *in;           // ciphertext that waits, oldest first
    struct gw_buf *out_first, *out_last;
    struct iovec unsent;         // the first piece of a send that found no buffer
    uint32_t out_bytes;
    uint32_t send_plain, send_reported;
    uint32_t send_cipher, send_cipher_left;   // from the queue's head to the end of the caller's bytes
    int32_t send_result;         // to be told
    int32_t end_result;
    uint32_t next_ready, next_report, next_waiting;
    uint32_t flags;
};

struct gw_tls_list {
    uint32_t first, last;
};

// Where events go: count < limit <=> there is room.
struct gw_tls_told {
    struct gw_io_event *events;
    unsigned count, limit;
};

struct gw_io_tls {
    struct gw_io io;
    struct gw_io_ops ops;        // the layer's, under the backend's name
    struct gw_io *inner;
    SSL_CTX *context;
    BIO_METHOD *bio_method;
    BIO *bio;
    struct gw_pool *pool;
    struct gw_tls_socket *sockets;
    uint32_t sockets_max, sockets_touched;
    uint32_t *buffers;           // those free are [0, buffers_free)
    uint32_t buffers_free;
    uint32_t handshakes, handshakes_max;
    uint32_t steps_left;         // of handshakes, this turn
    uint32_t ready_count;
    struct gw_tls_list ready;    // have something to decrypt or to tell
    struct gw_tls_list starved;  // had, and found no buffer for the plaintext
    struct gw_tls_list waiting;  // for a slot
    struct gw_tls_list reports;  // a SENT is to be told
    struct gw_tls_list dry;      // a send found no buffer for the ciphertext
    struct gw_tls_socket *current;
    const uint8_t *feed;         // what has just arrived for current, behind its in
    uint32_t feed_bytes;
    uint64_t buffer_bytes_max;
    uint64_t starvations;
    uint8_t scratch[GW_TLS_RECORD_BYTES];
    struct gw_io_event events[GW_TLS_EVENTS];
};

static inline struct gw_io_tls *gw_tls(struct gw_io *io) { return (struct gw_io_tls *)io; }
static inline uint32_t gw_tls_number(const struct gw_io_tls *t, const struct gw_tls_socket *s) {
    return (uint32_t)(s - t->sockets);
}
static inline int gw_tls_has_room(const struct gw_tls_told *told) { return told->count < told->limit; }
static inline struct gw_io_event *gw_tls_tell(struct gw_tls_told *told, enum gw_io_kind kind, uint32_t socket) {
    struct gw_io_event *event = &told->events[told->count++];
    *event = (struct gw_io_event){ .kind = (uint32_t)kind, .socket = socket };
    return event;
}

// gw_tls_context.c: 0, -ENOMEM or an enum gw_tls_error.
int gw_tls_context_load(const char *certificate_file, const char *key_file, SSL_CTX **context);

// gw_tls_input.c
// BIO's reading: what current has received. bytes: 0 for none now.
size_t gw_tls_take_input(struct gw_io_tls *t, uint8_t *to, size_t room);
// Decrypts and tells what can be now; the rest of the feed is kept, and the socket listed if it must be looked at
// again.
void gw_tls_pump(struct gw_io_tls *t, struct gw_tls_socket *s, struct gw_tls_told *told);
void gw_tls_make_ready(struct gw_io_tls *t, struct gw_tls_socket *s);
// Looks once at each socket that is listed, while there is room.
void gw_tls_pump_ready(struct gw_io_tls *t, struct gw_tls_told *told);
int gw_tls_has_input_work(const struct gw_io_tls *t);
// Gives slots that are free to those who wait.
void gw_tls_admit(struct gw_io_tls *t);
void gw_tls_leave_slot(struct gw_io_tls *t, struct gw_tls_socket *s);
void gw_tls_drop_input(struct gw_io_tls *t, struct gw_tls_socket *s);

// gw_tls_output.c
// BIO's writing; 0: no buffer, or the bound is reached.
int gw_tls_put_output(struct gw_io_tls *t, const uint8_t *bytes, size_t length);
void gw_tls_flush(struct gw_io_tls *t, struct gw_tls_socket *s);
void gw_tls_send(struct gw_io *io, uint32_t socket, const struct iovec *iov, unsigned count);
void gw_tls_sent(struct gw_io_tls *t, struct gw_tls_socket *s, int32_t result, struct gw_tls_told *told);
void gw_tls_tell_reports(struct gw_io_tls *t, struct gw_tls_told *told);
// Tries the sends again that found no buffer.
void gw_tls_retry_dry(struct gw_io_tls *t);
void gw_tls_drop_output(struct gw_io_tls *t, struct gw_tls_socket *s);
// Queues close_notify, once; behind what is queued.
void gw_tls_say_end(struct gw_io_tls *t, struct gw_tls_socket *s);

#endif
