// What the files of the TLS layer share: gw_io_tls.c (requests, the turn), gw_tls_input.c (ciphertext that waits),
// gw_tls_read.c (ciphertext to events), gw_tls_output.c (plaintext to ciphertext, and what of it has left),
// gw_tls_context.c (certificates, tickets), gw_tls_keys.c (what follows from a handshake), gw_tls_record.c (one record),
// gw_tls_lists.c (who waits for what), gw_tls_kernel.c (sealing left to the kernel). gw_io_tls.h says what the layer
// promises.
//
// OpenSSL shakes hands and is then freed: a connection that is through is its keys and nothing else
// (docs/decisions/0014-tls-records.md). All of OpenSSL's reading and writing goes through one BIO for all sockets: the
// calls are synchronous, so that `current` says whose they are. Plaintext lies in receive buffers of the layer's own;
// those of the backend below are given back in the turn that brought them, and what could not be decrypted then, or is
// not yet a whole record, waits in pool buffers.
//
// Owner: one reactor; thread: its.
//   ssl != NULL <=> from the first byte to the end of the handshake or the close; SLOT <=> counted in handshakes
//   SECURE <=> the keys are set
//   BLOCKED => input waits for something other than the peer, and the backend is told to receive no more
//   plain != NULL => no record is opened before it is told
//   in != NULL <=> in the list of those that hold input; t->in_bytes = sum of their buffers' capacities <= in_bytes_max
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
    GW_TLS_RECORD_ROOM = 256,                 // what a record may add, RFC 8446 section 5.2
    GW_TLS_HEADER_BYTES = 5,
    GW_TLS_KEY_UPDATE_BYTES = 5,
    GW_TLS_TAG_BYTES = 16,
    GW_TLS_IV_BYTES = 12,
    GW_TLS_EXPLICIT_BYTES = 8,                // of them in the record, with AES-GCM in TLS 1.2
    GW_TLS_USELESS_RECORDS_MAX = 32,          // that bring no byte, in a row
    GW_TLS_SEND_BYTES_MAX = 128 * 1024,       // plaintext encrypted at a time,
    GW_TLS_SEND_BYTES_MIN = 480,              // while buffers are short: with a record's addition a smallest buffer
    GW_TLS_OUT_BYTES_MAX = 256 * 1024,        // a peer that makes us answer and reads nothing is cut off at this
    GW_TLS_EVENTS = 1024,
};

// RFC 8446 section 5.1 and 6.
enum gw_tls_content { GW_TLS_ALERT = 21, GW_TLS_HANDSHAKE = 22, GW_TLS_DATA = 23 };
enum gw_tls_alert {
    GW_TLS_CLOSE_NOTIFY = 0,
    GW_TLS_UNEXPECTED_MESSAGE = 10,
    GW_TLS_BAD_RECORD_MAC = 20,
    GW_TLS_RECORD_OVERFLOW = 22,
    GW_TLS_ILLEGAL_PARAMETER = 47,
    GW_TLS_DECODE_ERROR = 50,
    GW_TLS_INTERNAL_ERROR = 80,
    GW_TLS_USER_CANCELED = 90,
    GW_TLS_NO_ALERT = 256,
};

enum gw_tls_cipher { GW_TLS_AES_128_GCM, GW_TLS_AES_256_GCM, GW_TLS_CHACHA20_POLY1305, GW_TLS_CIPHERS };
enum gw_tls_way { GW_TLS_IN, GW_TLS_OUT };

struct gw_tls_keys {
    uint64_t record;             // the number of the next one with this key
    uint8_t key[32], iv[GW_TLS_IV_BYTES];
    uint8_t secret[48];          // of TLS 1.3, from which the next key comes
};

enum gw_tls_flags {
    GW_TLS_WANTED = 1,           // the caller wants to receive
    GW_TLS_RECEIVING = 2,        // the backend has been told so
    GW_TLS_INNER_ENDED = 4,      // and has nothing more
    GW_TLS_END_DUE = 8,          // the caller is to be told end_result,
    GW_TLS_ENDED = 16,           // and was
    GW_TLS_SLOT = 32,            // one of the handshakes in progress
    GW_TLS_SECURE = 64,          // the handshake is done
    GW_TLS_BROKEN = 128,         // nothing is to be said any more
    GW_TLS_SENDING = 256,        // the caller waits for SENT
    GW_TLS_INNER_SENDING = 512,
    GW_TLS_SHUT = 1024,          // the end follows what is queued
    GW_TLS_CLOSING = 2048,
    GW_TLS_BLOCKED = 4096,
    GW_TLS_SAID_END = 8192,      // nothing is said behind that
    GW_TLS_INNER_SHUT = 16384,
    GW_TLS_OFFERED = 32768,      // to the kernel, which took it or did not
    GW_TLS_KERNEL = 65536,       // seals what is sent, see gw_tls_kernel.c
    GW_TLS_HELD = 131072,        // a send waits behind a record of ours
    GW_TLS_UPDATE_DUE = 262144,  // KeyUpdate and alert are to be sent,
    GW_TLS_ALERT_DUE = 524288,
    GW_TLS_UPDATING = 1048576,   // or are under way
    GW_TLS_ALERTING = 2097152,
};

enum gw_tls_list_name {
    GW_TLS_NO_LIST,
    GW_TLS_READY,                // have something to decrypt or to tell
    GW_TLS_STARVED,              // had, and found no buffer for the plaintext
    GW_TLS_REPORTS,              // a SENT is to be told
    GW_TLS_DRY,                  // a send found no buffer for the ciphertext
    GW_TLS_WAITING,              // for a slot
    GW_TLS_HOLDING,              // input, since that time
    GW_TLS_LISTS,
};
enum gw_tls_list_kind { GW_TLS_INPUT_LIST, GW_TLS_SEND_LIST, GW_TLS_SLOT_LIST, GW_TLS_HELD_LIST, GW_TLS_LIST_KINDS };

struct gw_tls_link {
    uint32_t earlier, later;     // sockets
};

struct gw_tls_socket {
    SSL *ssl;                    // while it shakes hands
    struct gw_buf *in;           // ciphertext that waits, oldest first
    struct gw_buf *plain;        // a record that is larger than a receive buffer, not yet told whole
    struct gw_buf *out_first, *out_last;
    struct iovec unsent;         // the first piece of a send that found no buffer
    uint32_t out_bytes;
    uint32_t send_plain, send_reported;
    uint32_t send_cipher, send_cipher_left;   // from the queue's head to the end of the caller's bytes
    int32_t send_result;         // to be told
    int32_t end_result;
    struct gw_tls_link links[GW_TLS_LIST_KINDS];
    uint8_t in_list[GW_TLS_LIST_KINDS];       // enum gw_tls_list_name
    uint32_t flags;
    uint8_t is_1_3;              // else 1.2
    uint8_t cipher;              // enum gw_tls_cipher
    uint8_t secret_bytes;
    uint8_t useless;             // records, in a row
    uint8_t update_bytes;        // of a KeyUpdate that has come in part
    uint8_t alert[2];            // that is due, or under way
    struct gw_tls_keys keys[2];  // enum gw_tls_way
};

struct gw_tls_list {
    uint32_t first, last;        // when count > 0
    uint32_t count;
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
    struct gw_tls_list lists[GW_TLS_LISTS];
    EVP_CIPHER *ciphers[GW_TLS_CIPHERS];
    struct gw_tls_ready_cipher *ready_ciphers;
    uint64_t records_max;        // with one key
    uint32_t kernel_suites;      // a bit for each that the kernel seals for us
    struct gw_tls_socket *current;
    uint32_t step_records;       // that OpenSSL has encrypted in the present step of current
    const uint8_t *feed;         // what has just arrived for current, behind its in
    uint32_t feed_bytes;
    uint64_t buffer_bytes_max;
    uint64_t in_bytes, in_bytes_max;
    uint64_t starvations;
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

// gw_tls_keys.c
extern const uint8_t gw_tls_key_bytes[GW_TLS_CIPHERS];
// OpenSSL's callbacks, SSL_CTX_set_keylog_callback(3) and SSL_CTX_set_msg_callback(3).
void gw_tls_note_secret(const SSL *ssl, const char *line);
void gw_tls_note_record(int writing, int version, int type, const void *header, size_t length, SSL *ssl, void *unused);
// The handshake of the present step is done: takes the keys and frees OpenSSL's state. 0: that can't be.
int gw_tls_take_over(struct gw_io_tls *t, struct gw_tls_socket *s);
// The next key of TLS 1.3, RFC 8446 section 7.2. 0: OpenSSL refuses.
int gw_tls_renew_keys(struct gw_io_tls *t, struct gw_tls_socket *s, enum gw_tls_way way);
void gw_tls_drop_keys(struct gw_io_tls *t, struct gw_tls_socket *s);

// With AES-GCM in TLS 1.2, where no next key comes: the key has protected what it may in that way.
static inline int gw_tls_key_is_used_up(const struct gw_io_tls *t, const struct gw_tls_socket *s, enum gw_tls_way way) {
    return !s->is_1_3 && s->cipher != GW_TLS_CHACHA20_POLY1305 && s->keys[way].record >= t->records_max;
}

static inline uint32_t gw_tls_explicit_bytes(const struct gw_tls_socket *s) {
    return !s->is_1_3 && s->cipher != GW_TLS_CHACHA20_POLY1305 ? GW_TLS_EXPLICIT_BYTES : 0;
}
static inline uint32_t gw_tls_salt_bytes(const struct gw_tls_socket *s) {
    return GW_TLS_IV_BYTES - gw_tls_explicit_bytes(s);
}

// gw_tls_record.c: 0 or -ENOMEM; close after either.
int gw_tls_ciphers_open(struct gw_io_tls *t);
void gw_tls_ciphers_close(struct gw_io_tls *t);
// The socket's keys have changed.
void gw_tls_forget_cipher(struct gw_io_tls *t, const struct gw_tls_socket *s);

void gw_tls_put_number(uint8_t *to, uint64_t number);   // in the eight bytes of a nonce or a record's number

// A cursor over the caller's pieces, of which there is one at least.
struct gw_tls_source {
    const struct iovec *iov;
    unsigned count;
    size_t offset;
};
uint32_t gw_tls_take_piece(struct gw_tls_source *source, uint32_t most, const uint8_t **data);

// A whole record, and what it takes with its header; source has the bytes. 0: OpenSSL refuses.
uint32_t gw_tls_sealed_bytes(const struct gw_tls_socket *s, uint32_t plain_bytes);
int gw_tls_seal(struct gw_io_tls *t, struct gw_tls_socket *s, enum gw_tls_content type, struct gw_tls_source *source,
                uint32_t plain_bytes, uint8_t *to);

// A cursor over what a socket has received.
struct gw_tls_input {
    const struct gw_buf *buf;
    uint32_t at;                 // of buf's bytes
    const uint8_t *feed;
    uint32_t feed_bytes;
};
uint32_t gw_tls_peek_input(struct gw_tls_input *input, uint32_t most, const uint8_t **data);   // 0: nothing is left
void gw_tls_copy_input(struct gw_tls_input *input, uint8_t *to, uint32_t bytes);               // which are there

// Opens the record whose header was read and whose body lies whole in the input. to has room for the opened bytes,
// of which plain_bytes are content. GW_TLS_NO_ALERT, or what the peer is to be told.
uint32_t gw_tls_opened_bytes(const struct gw_tls_socket *s, uint32_t body_bytes);
enum gw_tls_alert gw_tls_open(struct gw_io_tls *t, struct gw_tls_socket *s, const uint8_t *header,
                              struct gw_tls_input *input, uint32_t body_bytes, uint8_t *to, uint32_t *plain_bytes,
                              uint8_t *type);

// gw_tls_kernel.c
// The suites that the kernel can seal, a bit each.
uint32_t gw_tls_kernel_probe(void);
// Offers a connection with nothing on its way out to the kernel, once. Whether the kernel seals what it sends from now on.
int gw_tls_kernel_takes(struct gw_io_tls *t, struct gw_tls_socket *s);
void gw_tls_kernel_send(struct gw_io_tls *t, struct gw_tls_socket *s, const struct iovec *iov, unsigned count);
// What is due of KeyUpdate and alert, once nothing is under way.
void gw_tls_kernel_flush(struct gw_io_tls *t, struct gw_tls_socket *s);
// A record of ours has left, or not: what there is to tell of the caller's send, 0 for nothing.
int32_t gw_tls_kernel_said(struct gw_io_tls *t, struct gw_tls_socket *s, int32_t result);

// gw_tls_lists.c
// Behind the others; a socket that is in a list of that kind stays where it is.
void gw_tls_list(struct gw_io_tls *t, enum gw_tls_list_name name, struct gw_tls_socket *s);
void gw_tls_unlist(struct gw_io_tls *t, struct gw_tls_socket *s, enum gw_tls_list_kind kind);
void gw_tls_leave_lists(struct gw_io_tls *t, struct gw_tls_socket *s);
struct gw_tls_socket *gw_tls_take_first(struct gw_io_tls *t, enum gw_tls_list_name name);   // NULL: it is empty

// gw_tls_input.c: what current has received is its in and the feed behind that.
struct gw_tls_input gw_tls_input_of(const struct gw_io_tls *t, const struct gw_tls_socket *s);
uint32_t gw_tls_input_bytes(const struct gw_io_tls *t, const struct gw_tls_socket *s);
void gw_tls_consume_input(struct gw_io_tls *t, struct gw_tls_socket *s, uint32_t bytes);
// BIO's reading. bytes: 0 for none now.
size_t gw_tls_take_input(struct gw_io_tls *t, uint8_t *to, size_t room);
// Keeps what is left of the feed.
void gw_tls_keep_feed(struct gw_io_tls *t, struct gw_tls_socket *s);
void gw_tls_drop_input(struct gw_io_tls *t, struct gw_tls_socket *s);
// The end of current: nothing more is read of it, and result is due to be told.
void gw_tls_end(struct gw_io_tls *t, struct gw_tls_socket *s, int32_t result);

// gw_tls_read.c
// Decrypts and tells what can be now; the rest of the feed is kept, and the socket listed if it must be looked at
// again.
void gw_tls_pump(struct gw_io_tls *t, struct gw_tls_socket *s, struct gw_tls_told *told);
// Looks once at each socket that is listed, while there is room.
void gw_tls_pump_ready(struct gw_io_tls *t, struct gw_tls_told *told);
int gw_tls_has_input_work(const struct gw_io_tls *t);
// Gives slots that are free to those who wait.
void gw_tls_admit(struct gw_io_tls *t);
void gw_tls_leave_slot(struct gw_io_tls *t, struct gw_tls_socket *s);

// gw_tls_output.c
// BIO's writing; 0: no buffer, or the bound is reached.
int gw_tls_put_output(struct gw_io_tls *t, const uint8_t *bytes, size_t length);
void gw_tls_flush(struct gw_io_tls *t, struct gw_tls_socket *s);
// The end, once all that is queued before it has left.
void gw_tls_shut(struct gw_io_tls *t, struct gw_tls_socket *s);
void gw_tls_send(struct gw_io *io, uint32_t socket, const struct iovec *iov, unsigned count);
void gw_tls_sent(struct gw_io_tls *t, struct gw_tls_socket *s, int32_t result, struct gw_tls_told *told);
// Is told as the send's result when its turn in the list comes.
void gw_tls_report(struct gw_io_tls *t, struct gw_tls_socket *s, int32_t result);
void gw_tls_tell_reports(struct gw_io_tls *t, struct gw_tls_told *told);
// Tries the sends again that found no buffer.
void gw_tls_retry_dry(struct gw_io_tls *t);
void gw_tls_drop_output(struct gw_io_tls *t, struct gw_tls_socket *s);
// Queues close_notify, once; behind what is queued.
void gw_tls_say_end(struct gw_io_tls *t, struct gw_tls_socket *s);
void gw_tls_say_alert(struct gw_io_tls *t, struct gw_tls_socket *s, enum gw_tls_alert alert);
extern const uint8_t gw_tls_key_update[GW_TLS_KEY_UPDATE_BYTES];
// KeyUpdate with the present key, and the next one from then on; nothing behind our end. 0: it could not be queued.
int gw_tls_say_key_update(struct gw_io_tls *t, struct gw_tls_socket *s);

#endif
