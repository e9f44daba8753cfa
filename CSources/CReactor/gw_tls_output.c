// Plaintext to ciphertext: what the caller sends, what OpenSSL itself has to say, and what of both has left.
//
// A send is encrypted where it is asked for, into buffers of the layer's pool, and the backend sends from there. The
// caller is told plaintext bytes in proportion to the ciphertext that was taken, so that a slow peer is seen to move;
// all of them once all was taken. Bytes that are encrypted and not yet told come again with the caller's next send
// and are recognized by their count.
//
// Owner and thread: the reactor's, as gw_tls.h says.
#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <string.h>

#include "gw_tls.h"

// The queue of ciphertext.

static int gw_tls_extend(struct gw_io_tls *t, struct gw_tls_socket *s, uint32_t bytes) {
    struct gw_buf *buf = gw_buf_acquire(t->pool, bytes);
    if (buf == NULL) {
        return 0;
    }
    if (s->out_last == NULL) {
        s->out_first = buf;
    } else {
        s->out_last->next = buf;
    }
    s->out_last = buf;
    return 1;
}

// Room for bytes in one piece at the end of the queue; NULL: there is no buffer.
static uint8_t *gw_tls_reserve(struct gw_io_tls *t, struct gw_tls_socket *s, uint32_t bytes) {
    if ((s->out_last == NULL || gw_buf_room(s->out_last) < bytes) && !gw_tls_extend(t, s, bytes)) {
        return NULL;
    }
    return s->out_last->data + s->out_last->end;
}

static void gw_tls_commit(struct gw_tls_socket *s, uint32_t bytes) {
    s->out_last->end += bytes;
    s->out_bytes += bytes;
}

int gw_tls_put_output(struct gw_io_tls *t, const uint8_t *bytes, size_t length) {
    struct gw_tls_socket *s = t->current;
    if (length > GW_TLS_OUT_BYTES_MAX || s->out_bytes + length > GW_TLS_OUT_BYTES_MAX) {
        return 0;
    }
    const uint32_t room = s->out_last != NULL ? gw_buf_room(s->out_last) : 0;
    const uint32_t piece = length < room ? (uint32_t)length : room;
    if (piece > 0) {
        memcpy(s->out_last->data + s->out_last->end, bytes, piece);
        gw_tls_commit(s, piece);
    }
    const uint32_t rest = (uint32_t)length - piece;
    if (rest > 0) {
        uint8_t *to = gw_tls_reserve(t, s, rest);
        if (to == NULL) {
            return 0;
        }
        memcpy(to, bytes + piece, rest);
        gw_tls_commit(s, rest);
    }
    return 1;
}

void gw_tls_drop_output(struct gw_io_tls *t, struct gw_tls_socket *s) {
    while (s->out_first != NULL) {
        struct gw_buf *buf = s->out_first;
        s->out_first = buf->next;
        gw_buf_release(t->pool, buf);
    }
    s->out_last = NULL;
    s->out_bytes = 0;
}

static void gw_tls_consume(struct gw_io_tls *t, struct gw_tls_socket *s, uint32_t bytes) {
    assert(bytes <= s->out_bytes);
    s->out_bytes -= bytes;
    while (s->out_first != NULL) {
        struct gw_buf *buf = s->out_first;
        const uint32_t length = gw_buf_length(buf);
        if (bytes < length) {
            buf->start += bytes;
            return;
        }
        bytes -= length;
        s->out_first = buf->next;
        gw_buf_release(t->pool, buf);
    }
    s->out_last = NULL;
}

void gw_tls_flush(struct gw_io_tls *t, struct gw_tls_socket *s) {
    if (s->flags & GW_TLS_KERNEL) {
        gw_tls_kernel_flush(t, s);
        return;
    }
    if ((s->flags & (GW_TLS_INNER_SENDING | GW_TLS_INNER_SHUT | GW_TLS_CLOSING)) || s->out_bytes == 0) {
        return;
    }
    struct iovec iov[GW_IO_IOV_MAX];
    unsigned count = 0;
    for (struct gw_buf *buf = s->out_first; buf != NULL && count < GW_IO_IOV_MAX; buf = buf->next) {
        if (gw_buf_length(buf) > 0) {
            iov[count++] = (struct iovec){ .iov_base = buf->data + buf->start, .iov_len = gw_buf_length(buf) };
        }
    }
    s->flags |= GW_TLS_INNER_SENDING;
    gw_io_send(t->inner, gw_tls_number(t, s), iov, count);
}

// Not of a socket that the kernel seals for: a record that it holds back yet would be cut off. close_notify says the same.
void gw_tls_shut(struct gw_io_tls *t, struct gw_tls_socket *s) {
    if ((s->flags & (GW_TLS_SHUT | GW_TLS_INNER_SHUT | GW_TLS_KERNEL)) == GW_TLS_SHUT && s->out_bytes == 0) {
        s->flags |= GW_TLS_INNER_SHUT;
        gw_io_shutdown(t->inner, gw_tls_number(t, s));
    }
}

// A record of ours. 0: there is no buffer for it, or the peer takes none of what is queued.
static int gw_tls_say(struct gw_io_tls *t, struct gw_tls_socket *s, enum gw_tls_content type, const uint8_t *bytes,
                      uint32_t length) {
    const struct iovec piece = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = length };
    struct gw_tls_source source = { .iov = &piece, .count = 1 };
    const uint32_t sealed = gw_tls_sealed_bytes(s, length);
    uint8_t *to = s->out_bytes < GW_TLS_OUT_BYTES_MAX ? gw_tls_reserve(t, s, sealed) : NULL;
    if (to == NULL || !gw_tls_seal(t, s, type, &source, length, to)) {
        return 0;
    }
    gw_tls_commit(s, sealed);
    return 1;
}

// The level is a relic, and fatal but for an orderly end: RFC 8446 section 6.
void gw_tls_say_alert(struct gw_io_tls *t, struct gw_tls_socket *s, enum gw_tls_alert alert) {
    const uint8_t bytes[2] = { alert == GW_TLS_CLOSE_NOTIFY ? 1 : 2, (uint8_t)alert };
    if (s->flags & GW_TLS_SAID_END) {
        return;
    }
    if (s->flags & GW_TLS_KERNEL) {
        memcpy(s->alert, bytes, sizeof bytes);
        s->flags |= GW_TLS_ALERT_DUE;
    } else {
        (void)gw_tls_say(t, s, GW_TLS_ALERT, bytes, sizeof bytes);
    }
}

void gw_tls_say_end(struct gw_io_tls *t, struct gw_tls_socket *s) {
    if ((s->flags & (GW_TLS_SECURE | GW_TLS_BROKEN | GW_TLS_SAID_END)) == GW_TLS_SECURE) {
        // One half of the exchange; the other is the peer's to send, and nobody waits for it.
        gw_tls_say_alert(t, s, GW_TLS_CLOSE_NOTIFY);
        s->flags |= GW_TLS_SAID_END;
    }
}

// RFC 8446 section 4.6.3; none is wanted in return.
const uint8_t gw_tls_key_update[GW_TLS_KEY_UPDATE_BYTES] = { 24, 0, 0, 1, 0 };

int gw_tls_say_key_update(struct gw_io_tls *t, struct gw_tls_socket *s) {
    if (s->flags & GW_TLS_SAID_END) {
        return 1;
    }
    if (s->flags & GW_TLS_KERNEL) {
        s->flags |= GW_TLS_UPDATE_DUE;
        return 1;
    }
    return gw_tls_say(t, s, GW_TLS_HANDSHAKE, gw_tls_key_update, sizeof gw_tls_key_update)
        && gw_tls_renew_keys(t, s, GW_TLS_OUT);
}

// Reports.

void gw_tls_report(struct gw_io_tls *t, struct gw_tls_socket *s, int32_t result) {
    s->send_result = result;
    gw_tls_list(t, GW_TLS_REPORTS, s);
}

void gw_tls_tell_reports(struct gw_io_tls *t, struct gw_tls_told *told) {
    while (t->lists[GW_TLS_REPORTS].count > 0 && gw_tls_has_room(told)) {
        struct gw_tls_socket *s = gw_tls_take_first(t, GW_TLS_REPORTS);
        s->flags &= ~(uint32_t)GW_TLS_SENDING;
        gw_tls_tell(told, GW_IO_SENT, gw_tls_number(t, s))->result = s->send_result;
    }
}

// Encrypting.

// The more is encrypted for peers that do not take it, the less at a time. The last parts are for everyone's small ones,
// for what OpenSSL and this layer have to say themselves, and for records that are opened aside.
static size_t gw_tls_send_bytes_most(const struct gw_io_tls *t) {
    const uint64_t held = gw_pool_held_bytes(t->pool) - t->in_bytes, part = t->buffer_bytes_max / 8;
    return held < 2 * part ? GW_TLS_SEND_BYTES_MAX : held < 3 * part ? GW_TLS_RECORD_BYTES : GW_TLS_SEND_BYTES_MIN;
}

// Returns the plaintext bytes encrypted, 0 when there is no buffer, or -errno.
static int32_t gw_tls_encrypt(struct gw_io_tls *t, struct gw_tls_socket *s, const struct iovec *iov, unsigned count) {
    const size_t most = gw_tls_send_bytes_most(t);
    struct gw_tls_source source = { .iov = iov, .count = count };
    size_t left = 0, total = 0;
    for (unsigned i = 0; i < count; i++) {
        left += iov[i].iov_len;
    }
    left = left < most ? left : most;
    while (left > 0) {
        const uint32_t length = left < GW_TLS_RECORD_BYTES ? (uint32_t)left : GW_TLS_RECORD_BYTES;
        const uint32_t sealed = gw_tls_sealed_bytes(s, length);
        if (gw_tls_key_is_used_up(t, s, GW_TLS_OUT)) {
            return total > 0 ? (int32_t)total : -EKEYEXPIRED;
        }
        if (s->is_1_3 && s->keys[GW_TLS_OUT].record >= t->records_max && !gw_tls_say_key_update(t, s)) {
            break;
        }
        uint8_t *to = gw_tls_reserve(t, s, sealed);
        if (to == NULL) {
            break;
        }
        if (!gw_tls_seal(t, s, GW_TLS_DATA, &source, length, to)) {
            s->flags |= GW_TLS_BROKEN;
            ERR_clear_error();
            return -EPROTO;
        }
        gw_tls_commit(s, sealed);
        total += length;
        left -= length;
    }
    return (int32_t)total;
}

static void gw_tls_begin_send(struct gw_io_tls *t, struct gw_tls_socket *s, const struct iovec *iov, unsigned count) {
    const int sealed_below = t->kernel_suites != 0 && gw_tls_kernel_takes(t, s);
    if ((s->flags & (GW_TLS_SECURE | GW_TLS_BROKEN)) != GW_TLS_SECURE) {
        gw_tls_report(t, s, s->send_result < 0 ? s->send_result : -EPROTO);
        return;
    }
    if (sealed_below) {
        gw_tls_kernel_send(t, s, iov, count);
        return;
    }
    const int32_t plain = gw_tls_encrypt(t, s, iov, count);
    if (plain > 0) {
        s->send_plain = (uint32_t)plain;
        s->send_reported = 0;
        s->send_cipher = s->send_cipher_left = s->out_bytes;
        gw_tls_flush(t, s);
    } else if (plain == 0) {
        s->unsent = iov[0];
        gw_tls_list(t, GW_TLS_DRY, s);
    } else {
        gw_tls_report(t, s, plain);
    }
}

void gw_tls_send(struct gw_io *io, uint32_t socket, const struct iovec *iov, unsigned count) {
    struct gw_io_tls *t = gw_tls(io);
    struct gw_tls_socket *s = &t->sockets[socket];
    assert(count >= 1 && count <= GW_IO_IOV_MAX && !(s->flags & (GW_TLS_SENDING | GW_TLS_CLOSING | GW_TLS_SHUT)));
    s->flags |= GW_TLS_SENDING;
    if (s->send_plain == s->send_reported) {
        gw_tls_begin_send(t, s, iov, count);
    } else if (s->send_cipher_left == 0) {
        const uint32_t rest = s->send_plain - s->send_reported;
        s->send_reported = s->send_plain;
        gw_tls_report(t, s, (int32_t)rest);
    }
}

void gw_tls_retry_dry(struct gw_io_tls *t) {
    for (uint32_t looks = t->lists[GW_TLS_DRY].count; looks > 0; looks--) {
        struct gw_tls_socket *s = gw_tls_take_first(t, GW_TLS_DRY);
        const struct iovec piece = s->unsent;
        gw_tls_begin_send(t, s, &piece, 1);
    }
}

// What the backend reports.

// Plaintext that counts as taken now and was not told: never the last byte before all of the ciphertext has left.
static uint32_t gw_tls_progress(struct gw_tls_socket *s) {
    uint32_t taken = s->send_plain;
    if (s->send_cipher_left > 0) {
        const uint32_t gone = s->send_cipher - s->send_cipher_left;
        taken = (uint32_t)((uint64_t)s->send_plain * gone / s->send_cipher);
        taken = taken < s->send_plain ? taken : s->send_plain - 1;
    }
    const uint32_t more = taken - s->send_reported;
    s->send_reported = taken;
    return more;
}

void gw_tls_sent(struct gw_io_tls *t, struct gw_tls_socket *s, int32_t result, struct gw_tls_told *told) {
    s->flags &= ~(uint32_t)GW_TLS_INNER_SENDING;
    if (s->flags & GW_TLS_CLOSING) {
        return;
    }
    int32_t report = result;
    if (s->flags & (GW_TLS_UPDATING | GW_TLS_ALERTING)) {
        report = gw_tls_kernel_said(t, s, result);
    } else if (result < 0) {
        s->flags |= GW_TLS_BROKEN;
        s->send_result = result;
        s->send_plain = s->send_reported = 0;
    } else if (s->flags & GW_TLS_KERNEL) {
        s->keys[GW_TLS_OUT].record += 1 + (uint32_t)result / GW_TLS_RECORD_BYTES;
        gw_tls_kernel_flush(t, s);
    } else {
        gw_tls_consume(t, s, (uint32_t)result);
        const uint32_t left = s->send_cipher_left;
        s->send_cipher_left = left > (uint32_t)result ? left - (uint32_t)result : 0;
        report = (int32_t)((s->flags & GW_TLS_SENDING) && s->send_plain > s->send_reported ? gw_tls_progress(s) : 0);
        gw_tls_flush(t, s);
        gw_tls_shut(t, s);
    }
    // Nobody waits for what OpenSSL has to say; the caller's next send is told of an error.
    if (report != 0 && (s->flags & GW_TLS_SENDING)) {
        s->flags &= ~(uint32_t)GW_TLS_SENDING;
        gw_tls_unlist(t, s, GW_TLS_SEND_LIST);
        gw_tls_tell(told, GW_IO_SENT, gw_tls_number(t, s))->result = report;
    }
}
