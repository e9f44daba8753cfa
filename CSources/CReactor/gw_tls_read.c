// Ciphertext to events: handshakes, records, the peer's end.
//
// What arrives is decrypted at once, straight from the receive buffer it lies in. What can't be now, because the turn's
// handshake steps are used up, no plaintext buffer is free or no event fits, waits (gw_tls_input.c), the socket receives no
// more until that is gone, and stands in a list, first come first served.
//
// Owner and thread: the reactor's, as gw_tls.h says.
#include <errno.h>
#include <openssl/err.h>
#include <string.h>

#include "gw_tls.h"

// Someone who speaks HTTP here has mistaken the scheme and can be told.
static const char gw_tls_not_plain[] =
    "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 29\r\n\r\n"
    "This port speaks TLS: wss://\n";

static void gw_tls_adjust_receiving(struct gw_io_tls *t, struct gw_tls_socket *s, int blocked) {
    const uint32_t socket = gw_tls_number(t, s);
    s->flags = blocked ? s->flags | GW_TLS_BLOCKED : s->flags & ~(uint32_t)GW_TLS_BLOCKED;
    if (blocked && (s->flags & GW_TLS_RECEIVING)) {
        s->flags &= ~(uint32_t)GW_TLS_RECEIVING;
        gw_io_receive_pause(t->inner, socket);
    } else if (!blocked && (s->flags & (GW_TLS_WANTED | GW_TLS_RECEIVING | GW_TLS_INNER_ENDED)) == GW_TLS_WANTED) {
        s->flags |= GW_TLS_RECEIVING;
        gw_io_receive_start(t->inner, socket);
    }
}

int gw_tls_has_input_work(const struct gw_io_tls *t) {
    // One that needs a pool buffer as well is looked at when something else has happened.
    const int supplied = t->buffers_free > 0
        && gw_pool_held_bytes(t->pool) + gw_pool_buffer_bytes_max(t->pool) <= t->buffer_bytes_max;
    return t->lists[GW_TLS_READY].count > 0 || (t->lists[GW_TLS_STARVED].count > 0 && supplied);
}

// Slots.

void gw_tls_admit(struct gw_io_tls *t) {
    struct gw_tls_socket *s;
    while (t->handshakes < t->handshakes_max && (s = gw_tls_take_first(t, GW_TLS_WAITING)) != NULL) {
        s->flags |= GW_TLS_SLOT;
        t->handshakes++;
        gw_tls_list(t, GW_TLS_READY, s);
    }
}

void gw_tls_leave_slot(struct gw_io_tls *t, struct gw_tls_socket *s) {
    if (s->flags & GW_TLS_SLOT) {
        s->flags &= ~(uint32_t)GW_TLS_SLOT;
        t->handshakes--;
    }
}

// Handshakes and records.

enum gw_tls_step {
    GW_TLS_GOES_ON,
    GW_TLS_NEEDS_MORE,     // from the peer
    GW_TLS_LATER,          // not this turn, or not before a slot is free
};

static void gw_tls_fail(struct gw_io_tls *t, struct gw_tls_socket *s) {
    const unsigned long error = ERR_peek_error();
    s->flags |= GW_TLS_BROKEN;
    if (!(s->flags & GW_TLS_SECURE) && ERR_GET_LIB(error) == ERR_LIB_SSL
        && ERR_GET_REASON(error) == SSL_R_HTTP_REQUEST) {
        (void)gw_tls_put_output(t, (const uint8_t *)gw_tls_not_plain, sizeof gw_tls_not_plain - 1);
    }
    ERR_clear_error();
    gw_tls_end(t, s, -EPROTO);
}

static int gw_tls_begin(struct gw_io_tls *t, struct gw_tls_socket *s) {
    s->ssl = SSL_new(t->context);
    if (s->ssl == NULL) {
        ERR_clear_error();
        gw_tls_end(t, s, -ENOMEM);
        return 0;
    }
    BIO_up_ref(t->bio);   // SSL_set_bio takes one count for both directions
    SSL_set_bio(s->ssl, t->bio, t->bio);
    SSL_set_accept_state(s->ssl);
    return 1;
}

static enum gw_tls_step gw_tls_handshake(struct gw_io_tls *t, struct gw_tls_socket *s) {
    if (s->ssl == NULL) {
        if (!(s->flags & GW_TLS_SLOT)) {
            if (t->handshakes >= t->handshakes_max || t->lists[GW_TLS_WAITING].count > 0) {
                gw_tls_list(t, GW_TLS_WAITING, s);
                return GW_TLS_LATER;
            }
            s->flags |= GW_TLS_SLOT;
            t->handshakes++;
        }
        if (!gw_tls_begin(t, s)) {
            return GW_TLS_GOES_ON;
        }
    }
    if (t->steps_left == 0) {
        gw_tls_list(t, GW_TLS_READY, s);
        return GW_TLS_LATER;
    }
    t->steps_left--;
    t->step_records = 0;
    ERR_clear_error();
    const int result = SSL_do_handshake(s->ssl);
    if (result == 1 && gw_tls_take_over(t, s)) {
        s->flags |= GW_TLS_SECURE;
        gw_tls_leave_slot(t, s);
        return GW_TLS_GOES_ON;
    }
    if (result != 1 && SSL_get_error(s->ssl, result) == SSL_ERROR_WANT_READ) {
        return GW_TLS_NEEDS_MORE;
    }
    gw_tls_fail(t, s);
    return GW_TLS_GOES_ON;
}

// What opening the next record has come to.
enum gw_tls_opened {
    GW_TLS_OPENED,         // perhaps nothing for the caller was in it
    GW_TLS_NOT_WHOLE,
    GW_TLS_NO_ROOM,        // in the caller's buffer
    GW_TLS_OVER,           // the connection; the end is due
};

static enum gw_tls_opened gw_tls_refuse(struct gw_io_tls *t, struct gw_tls_socket *s, enum gw_tls_alert alert) {
    gw_tls_say_alert(t, s, alert);
    s->flags |= GW_TLS_BROKEN;
    gw_tls_end(t, s, -EPROTO);
    return GW_TLS_OVER;
}

// RFC 8446 section 4.6.3. No other message is expected behind the handshake: certificates are not asked for, and
// renegotiation is refused. It may come in several records, none of them empty, with no other between them, and nothing
// follows it in its last, for that would be under the old key (section 5.1).
static enum gw_tls_opened gw_tls_hear_handshake(struct gw_io_tls *t, struct gw_tls_socket *s, const uint8_t *message,
                                                uint32_t length) {
    static const uint8_t key_update[] = { 24, 0, 0, 1 };
    const uint32_t before = s->update_bytes, there = before + length;
    const uint32_t known = (there < sizeof key_update ? there : (uint32_t)sizeof key_update) - before;
    if (!s->is_1_3 || length == 0 || there > sizeof key_update + 1
        || memcmp(message, key_update + before, known) != 0) {
        return gw_tls_refuse(t, s, GW_TLS_UNEXPECTED_MESSAGE);
    }
    s->update_bytes = there <= sizeof key_update ? (uint8_t)there : 0;
    if (s->update_bytes > 0) {
        return GW_TLS_OPENED;
    }
    const uint8_t request = message[length - 1];
    if (request > 1) {
        return gw_tls_refuse(t, s, GW_TLS_ILLEGAL_PARAMETER);
    }
    if (!gw_tls_renew_keys(t, s, GW_TLS_IN) || (request == 1 && !gw_tls_say_key_update(t, s))) {
        return gw_tls_refuse(t, s, GW_TLS_INTERNAL_ERROR);
    }
    return GW_TLS_OPENED;
}

// RFC 8446 section 6, RFC 5246 section 7.2. A warning of 1.2 is no end.
static enum gw_tls_opened gw_tls_hear_alert(struct gw_io_tls *t, struct gw_tls_socket *s, const uint8_t *alert,
                                            uint32_t length) {
    if (length != 2) {
        // Section 5.4 has a rule of its own for a record of no bytes.
        return gw_tls_refuse(t, s, length == 0 ? GW_TLS_UNEXPECTED_MESSAGE : GW_TLS_DECODE_ERROR);
    }
    if (alert[1] == GW_TLS_CLOSE_NOTIFY) {
        gw_tls_end(t, s, 0);
        return GW_TLS_OVER;
    }
    if (alert[1] == GW_TLS_USER_CANCELED || (!s->is_1_3 && alert[0] == 1)) {
        return GW_TLS_OPENED;
    }
    s->flags |= GW_TLS_BROKEN;
    gw_tls_end(t, s, -EPROTO);
    return GW_TLS_OVER;
}

static enum gw_tls_opened gw_tls_hear(struct gw_io_tls *t, struct gw_tls_socket *s, uint8_t type, const uint8_t *plain,
                                      uint32_t *length) {
    const uint32_t bytes = *length;
    const int within_message = s->update_bytes > 0 && type != GW_TLS_HANDSHAKE;
    if (type == GW_TLS_DATA && bytes > 0 && !within_message) {
        s->useless = 0;
        return GW_TLS_OPENED;
    }
    *length = 0;
    if (within_message || ++s->useless > GW_TLS_USELESS_RECORDS_MAX) {
        return gw_tls_refuse(t, s, GW_TLS_UNEXPECTED_MESSAGE);
    }
    switch (type) {
    case GW_TLS_DATA:
        return GW_TLS_OPENED;
    case GW_TLS_ALERT:
        return gw_tls_hear_alert(t, s, plain, bytes);
    case GW_TLS_HANDSHAKE:
        return gw_tls_hear_handshake(t, s, plain, bytes);
    default:
        return gw_tls_refuse(t, s, GW_TLS_UNEXPECTED_MESSAGE);
    }
}

// Opens the next record if it is whole, and deals with what is not the caller's: of that length bytes lie at to.
static enum gw_tls_opened gw_tls_open_next(struct gw_io_tls *t, struct gw_tls_socket *s, uint8_t *to, uint32_t room,
                                           uint32_t *length) {
    uint8_t header[GW_TLS_HEADER_BYTES], type = 0;
    const uint32_t there = gw_tls_input_bytes(t, s);
    *length = 0;
    if (there < sizeof header) {
        return GW_TLS_NOT_WHOLE;
    }
    struct gw_tls_input input = gw_tls_input_of(t, s);
    gw_tls_copy_input(&input, header, sizeof header);
    const uint32_t body = (uint32_t)header[3] << 8 | header[4];
    if (header[1] != 3 || (s->is_1_3 ? header[0] != GW_TLS_DATA
                                     : header[0] < GW_TLS_ALERT || header[0] > GW_TLS_DATA)) {
        return gw_tls_refuse(t, s, GW_TLS_UNEXPECTED_MESSAGE);
    }
    if (body > GW_TLS_RECORD_BYTES + GW_TLS_RECORD_ROOM) {
        return gw_tls_refuse(t, s, GW_TLS_RECORD_OVERFLOW);
    }
    if (there - (uint32_t)sizeof header < body) {
        return GW_TLS_NOT_WHOLE;
    }
    if (gw_tls_opened_bytes(s, body) > room) {
        return GW_TLS_NO_ROOM;
    }
    if (gw_tls_key_is_used_up(t, s, GW_TLS_IN)) {
        gw_tls_end(t, s, -EKEYEXPIRED);
        return GW_TLS_OVER;
    }
    const enum gw_tls_alert alert = gw_tls_open(t, s, header, &input, body, to, length, &type);
    if (alert != GW_TLS_NO_ALERT) {
        *length = 0;
        return gw_tls_refuse(t, s, alert);
    }
    gw_tls_consume_input(t, s, (uint32_t)sizeof header + body);
    return gw_tls_hear(t, s, type, to, length);
}

// The next record into a buffer of its own, because it is larger than one that can be told.
static enum gw_tls_opened gw_tls_open_aside(struct gw_io_tls *t, struct gw_tls_socket *s) {
    struct gw_buf *buf = gw_buf_acquire(t->pool, GW_TLS_RECORD_BYTES + GW_TLS_RECORD_ROOM);
    if (buf == NULL) {
        return GW_TLS_NO_ROOM;
    }
    const enum gw_tls_opened opened = gw_tls_open_next(t, s, buf->data, buf->capacity, &buf->end);
    if (gw_buf_length(buf) > 0) {
        s->plain = buf;
    } else {
        gw_buf_release(t->pool, buf);
    }
    return opened;
}

static uint32_t gw_tls_take_plain(struct gw_io_tls *t, struct gw_tls_socket *s, uint8_t *to, uint32_t room) {
    struct gw_buf *buf = s->plain;
    if (buf == NULL) {
        return 0;
    }
    const uint32_t left = gw_buf_length(buf), taken = left < room ? left : room;
    memcpy(to, buf->data + buf->start, taken);
    buf->start += taken;
    if (taken == left) {
        s->plain = NULL;
        gw_buf_release(t->pool, buf);
    }
    return taken;
}

static void gw_tls_starve(struct gw_io_tls *t, struct gw_tls_socket *s) {
    t->starvations++;
    gw_tls_list(t, GW_TLS_STARVED, s);
}

// Fills one buffer with what the records hold and tells it.
static enum gw_tls_step gw_tls_read(struct gw_io_tls *t, struct gw_tls_socket *s, struct gw_tls_told *told) {
    const uint32_t buffer = t->buffers[t->buffers_free - 1], room = t->io.receive_buffer_bytes;
    uint8_t *data = t->io.receive_memory + (size_t)buffer * room;
    enum gw_tls_opened opened = GW_TLS_OPENED;
    uint32_t length = gw_tls_take_plain(t, s, data, room);
    while (opened == GW_TLS_OPENED && s->plain == NULL && length < room) {
        uint32_t some;
        opened = gw_tls_open_next(t, s, data + length, room - length, &some);
        length += some;
        if (opened == GW_TLS_NO_ROOM && length == 0) {
            opened = gw_tls_open_aside(t, s);
            length = gw_tls_take_plain(t, s, data, room);
        }
    }
    if (opened == GW_TLS_NO_ROOM && length == 0) {
        gw_tls_starve(t, s);
        return GW_TLS_LATER;
    }
    if (length > 0) {
        t->buffers_free--;
        struct gw_io_event *event = gw_tls_tell(told, GW_IO_RECEIVED, gw_tls_number(t, s));
        event->data = data;
        event->buffer = buffer;
        event->bytes = length;
    }
    return opened == GW_TLS_NOT_WHOLE ? GW_TLS_NEEDS_MORE : GW_TLS_GOES_ON;
}

// 1: goes on with the peer's next bytes; 0: with something else.
static int gw_tls_pump_while(struct gw_io_tls *t, struct gw_tls_socket *s, struct gw_tls_told *told) {
    for (;;) {
        if (s->flags & GW_TLS_ENDED) {
            t->feed_bytes = 0;
            return 1;
        }
        if (!gw_tls_has_room(told)) {
            gw_tls_list(t, GW_TLS_READY, s);
            return 0;
        }
        if (s->flags & GW_TLS_END_DUE) {
            s->flags = (s->flags & ~(uint32_t)GW_TLS_END_DUE) | GW_TLS_ENDED;
            gw_tls_tell(told, GW_IO_ENDED, gw_tls_number(t, s))->result = s->end_result;
            continue;
        }
        enum gw_tls_step step = GW_TLS_GOES_ON;
        if (!(s->flags & GW_TLS_SECURE)) {
            step = s->in == NULL && t->feed_bytes == 0 ? GW_TLS_NEEDS_MORE : gw_tls_handshake(t, s);
        } else if (t->buffers_free == 0) {
            gw_tls_starve(t, s);
            return 0;
        } else {
            step = gw_tls_read(t, s, told);
        }
        if (step == GW_TLS_LATER) {
            return 0;
        }
        if (step == GW_TLS_NEEDS_MORE) {
            if (!(s->flags & GW_TLS_INNER_ENDED)) {
                return 1;
            }
            // The end came behind all that was received, and the peer did not sign it.
            gw_tls_end(t, s, s->end_result < 0 ? s->end_result : -ENODATA);
        }
    }
}

void gw_tls_pump(struct gw_io_tls *t, struct gw_tls_socket *s, struct gw_tls_told *told) {
    t->current = s;
    const int hungry = gw_tls_pump_while(t, s, told);
    gw_tls_keep_feed(t, s);
    gw_tls_adjust_receiving(t, s, !hungry && (s->in != NULL || s->plain != NULL));
    gw_tls_flush(t, s);
}

static void gw_tls_pump_listed(struct gw_io_tls *t, enum gw_tls_list_name name, struct gw_tls_told *told) {
    t->feed_bytes = 0;
    gw_tls_pump(t, gw_tls_take_first(t, name), told);
}

void gw_tls_pump_ready(struct gw_io_tls *t, struct gw_tls_told *told) {
    uint32_t looks = t->lists[GW_TLS_STARVED].count;
    for (; looks > 0 && t->buffers_free > 0 && gw_tls_has_room(told); looks--) {
        gw_tls_pump_listed(t, GW_TLS_STARVED, told);
    }
    for (looks = t->lists[GW_TLS_READY].count; looks > 0 && gw_tls_has_room(told); looks--) {
        gw_tls_pump_listed(t, GW_TLS_READY, told);
    }
}
