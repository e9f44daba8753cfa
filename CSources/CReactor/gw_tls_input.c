// Ciphertext to events: handshakes, records, the peer's end.
//
// What arrives is decrypted at once, straight from the receive buffer it lies in. What can't be - the turn's handshake
// steps are used up, no plaintext buffer is free, no event fits - is copied into pool buffers, the socket receives no
// more until that is gone, and waits in a list, first come first served.
#include <errno.h>
#include <openssl/err.h>
#include <string.h>

#include "gw_tls.h"

// Someone who speaks HTTP here has mistaken the scheme and can be told.
static const char gw_tls_not_plain[] =
    "HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 29\r\n\r\n"
    "This port speaks TLS: wss://\n";

// Input that waits.

size_t gw_tls_take_input(struct gw_io_tls *t, uint8_t *to, size_t room) {
    struct gw_tls_socket *s = t->current;
    size_t taken = 0;
    while (s->in != NULL && taken < room) {
        struct gw_buf *buf = s->in;
        const size_t left = gw_buf_length(buf), piece = left < room - taken ? left : room - taken;
        memcpy(to + taken, buf->data + buf->start, piece);
        buf->start += (uint32_t)piece;
        taken += piece;
        if (piece == left) {
            s->in = buf->next;
            buf->next = NULL;
            gw_buf_release(t->pool, buf);
        }
    }
    const size_t piece = t->feed_bytes < room - taken ? t->feed_bytes : room - taken;
    if (piece > 0) {
        memcpy(to + taken, t->feed, piece);
        t->feed += piece;
        t->feed_bytes -= (uint32_t)piece;
    }
    return taken + piece;
}

void gw_tls_drop_input(struct gw_io_tls *t, struct gw_tls_socket *s) {
    while (s->in != NULL) {
        struct gw_buf *buf = s->in;
        s->in = buf->next;
        buf->next = NULL;
        gw_buf_release(t->pool, buf);
    }
}

static void gw_tls_end(struct gw_io_tls *t, struct gw_tls_socket *s, int32_t result) {
    if (!(s->flags & (GW_TLS_END_DUE | GW_TLS_ENDED))) {
        s->flags |= GW_TLS_END_DUE;
        s->end_result = result;
    }
    s->flags &= ~(uint32_t)GW_TLS_WAITING;
    gw_tls_drop_input(t, s);
    t->feed_bytes = 0;
    gw_tls_leave_slot(t, s);
}

// Keeps what is left of the feed. A receive that is under way may still bring some more.
static void gw_tls_keep_feed(struct gw_io_tls *t, struct gw_tls_socket *s) {
    if (t->feed_bytes == 0) {
        return;
    }
    struct gw_buf **last = &s->in;
    while (*last != NULL) {
        last = &(*last)->next;
    }
    *last = gw_buf_acquire(t->pool, t->feed_bytes);
    if (*last == NULL) {
        gw_tls_end(t, s, -ENOBUFS);
        gw_tls_make_ready(t, s);
        return;
    }
    memcpy((*last)->data, t->feed, t->feed_bytes);
    (*last)->end = t->feed_bytes;
    t->feed_bytes = 0;
}

static void gw_tls_adjust_receiving(struct gw_io_tls *t, struct gw_tls_socket *s) {
    const uint32_t socket = gw_tls_number(t, s);
    if (s->in != NULL && (s->flags & GW_TLS_RECEIVING)) {
        s->flags &= ~(uint32_t)GW_TLS_RECEIVING;
        gw_io_receive_pause(t->inner, socket);
    } else if (s->in == NULL && (s->flags & (GW_TLS_WANTED | GW_TLS_RECEIVING | GW_TLS_INNER_ENDED)) == GW_TLS_WANTED) {
        s->flags |= GW_TLS_RECEIVING;
        gw_io_receive_start(t->inner, socket);
    }
}

// Lists of sockets.

static void gw_tls_list_input(struct gw_io_tls *t, struct gw_tls_list *list, struct gw_tls_socket *s) {
    const uint32_t socket = gw_tls_number(t, s);
    s->flags |= GW_TLS_IN_READY;
    s->next_ready = GW_NO_SOCKET;
    if (list->first == GW_NO_SOCKET) {
        list->first = socket;
    } else {
        t->sockets[list->last].next_ready = socket;
    }
    list->last = socket;
}

static struct gw_tls_socket *gw_tls_unlist_input(struct gw_io_tls *t, struct gw_tls_list *list) {
    struct gw_tls_socket *s = &t->sockets[list->first];
    list->first = s->next_ready;
    s->flags &= ~(uint32_t)GW_TLS_IN_READY;
    return s;
}

void gw_tls_make_ready(struct gw_io_tls *t, struct gw_tls_socket *s) {
    if (!(s->flags & GW_TLS_IN_READY)) {
        gw_tls_list_input(t, &t->ready, s);
        t->ready_count++;
    }
}

static void gw_tls_starve(struct gw_io_tls *t, struct gw_tls_socket *s) {
    t->starvations++;
    if (!(s->flags & GW_TLS_IN_READY)) {
        gw_tls_list_input(t, &t->starved, s);
    }
}

int gw_tls_has_input_work(const struct gw_io_tls *t) {
    return t->ready.first != GW_NO_SOCKET || (t->starved.first != GW_NO_SOCKET && t->buffers_free > 0);
}

// Slots.

static void gw_tls_wait(struct gw_io_tls *t, struct gw_tls_socket *s) {
    s->flags |= GW_TLS_WAITING;
    if (s->flags & GW_TLS_IN_WAITING) {
        return;
    }
    const uint32_t socket = gw_tls_number(t, s);
    s->flags |= GW_TLS_IN_WAITING;
    s->next_waiting = GW_NO_SOCKET;
    if (t->waiting.first == GW_NO_SOCKET) {
        t->waiting.first = socket;
    } else {
        t->sockets[t->waiting.last].next_waiting = socket;
    }
    t->waiting.last = socket;
}

void gw_tls_admit(struct gw_io_tls *t) {
    while (t->handshakes < t->handshakes_max && t->waiting.first != GW_NO_SOCKET) {
        struct gw_tls_socket *s = &t->sockets[t->waiting.first];
        t->waiting.first = s->next_waiting;
        s->flags &= ~(uint32_t)GW_TLS_IN_WAITING;
        if (s->flags & GW_TLS_WAITING) {
            s->flags = (s->flags & ~(uint32_t)GW_TLS_WAITING) | GW_TLS_SLOT;
            t->handshakes++;
            gw_tls_make_ready(t, s);
        }
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
            if (s->flags & GW_TLS_WAITING) {
                return GW_TLS_LATER;
            }
            if (t->handshakes >= t->handshakes_max || t->waiting.first != GW_NO_SOCKET) {
                gw_tls_wait(t, s);
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
        gw_tls_make_ready(t, s);
        return GW_TLS_LATER;
    }
    t->steps_left--;
    ERR_clear_error();
    const int result = SSL_do_handshake(s->ssl);
    if (result == 1) {
        s->flags |= GW_TLS_SECURE;
        gw_tls_leave_slot(t, s);
        return GW_TLS_GOES_ON;
    }
    if (SSL_get_error(s->ssl, result) == SSL_ERROR_WANT_READ) {
        return GW_TLS_NEEDS_MORE;
    }
    gw_tls_fail(t, s);
    return GW_TLS_GOES_ON;
}

// Fills one buffer with what the records hold and tells it.
static enum gw_tls_step gw_tls_read(struct gw_io_tls *t, struct gw_tls_socket *s, struct gw_tls_told *told) {
    const uint32_t buffer = t->buffers[t->buffers_free - 1], room = t->io.receive_buffer_bytes;
    uint8_t *data = t->io.receive_memory + (size_t)buffer * room;
    enum gw_tls_step step = GW_TLS_GOES_ON;
    size_t length = 0;
    while (length < room) {
        size_t some;
        if (SSL_read_ex(s->ssl, data + length, room - length, &some) == 1) {
            length += some;
            continue;
        }
        switch (SSL_get_error(s->ssl, 0)) {
        case SSL_ERROR_WANT_READ:
            step = GW_TLS_NEEDS_MORE;
            break;
        case SSL_ERROR_ZERO_RETURN:
            gw_tls_end(t, s, 0);
            break;
        default:
            gw_tls_fail(t, s);
        }
        break;
    }
    if (length > 0) {
        t->buffers_free--;
        struct gw_io_event *event = gw_tls_tell(told, GW_IO_RECEIVED, gw_tls_number(t, s));
        event->data = data;
        event->buffer = buffer;
        event->bytes = (uint32_t)length;
    }
    return step;
}

static void gw_tls_pump_while(struct gw_io_tls *t, struct gw_tls_socket *s, struct gw_tls_told *told) {
    for (;;) {
        if (s->flags & GW_TLS_ENDED) {
            t->feed_bytes = 0;
            return;
        }
        if (!gw_tls_has_room(told)) {
            gw_tls_make_ready(t, s);
            return;
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
            return;
        } else {
            step = gw_tls_read(t, s, told);
        }
        if (step == GW_TLS_LATER) {
            return;
        }
        if (step == GW_TLS_NEEDS_MORE) {
            if (!(s->flags & GW_TLS_INNER_ENDED)) {
                return;
            }
            // The end came behind all that was received, and the peer did not sign it.
            gw_tls_end(t, s, s->end_result < 0 ? s->end_result : -ENODATA);
        }
    }
}

void gw_tls_pump(struct gw_io_tls *t, struct gw_tls_socket *s, struct gw_tls_told *told) {
    t->current = s;
    gw_tls_pump_while(t, s, told);
    gw_tls_keep_feed(t, s);
    gw_tls_adjust_receiving(t, s);
    gw_tls_flush(t, s);
}

static void gw_tls_pump_listed(struct gw_io_tls *t, struct gw_tls_socket *s, struct gw_tls_told *told) {
    if (!(s->flags & GW_TLS_CLOSING)) {
        t->feed_bytes = 0;
        gw_tls_pump(t, s, told);
    }
}

void gw_tls_pump_ready(struct gw_io_tls *t, struct gw_tls_told *told) {
    while (t->starved.first != GW_NO_SOCKET && t->buffers_free > 0 && gw_tls_has_room(told)) {
        gw_tls_pump_listed(t, gw_tls_unlist_input(t, &t->starved), told);
    }
    for (uint32_t looks = t->ready_count; looks > 0 && gw_tls_has_room(told); looks--) {
        t->ready_count--;
        gw_tls_pump_listed(t, gw_tls_unlist_input(t, &t->ready), told);
    }
}
