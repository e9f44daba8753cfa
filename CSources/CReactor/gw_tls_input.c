// What has come and was not read yet: the rest of the receive buffer at hand, and behind a socket what of it waits.
//
// A record that is not yet whole waits in pool buffers for the rest, and so does what can't be decrypted now for another
// reason. What waits has half of the buffers. Whose input has waited longest gives way to the next: a record that comes at
// all is soon whole, and those who begin some without ending them hold up nobody but each other.
//
// Owner and thread: the reactor's, as gw_tls.h says.
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "gw_tls.h"

struct gw_tls_input gw_tls_input_of(const struct gw_io_tls *t, const struct gw_tls_socket *s) {
    return (struct gw_tls_input){ .buf = s->in, .feed = t->feed, .feed_bytes = t->feed_bytes };
}

uint32_t gw_tls_peek_input(struct gw_tls_input *input, uint32_t most, const uint8_t **data) {
    while (input->buf != NULL && input->at == gw_buf_length(input->buf)) {
        input->buf = input->buf->next;
        input->at = 0;
    }
    uint32_t left;
    if (input->buf != NULL) {
        left = gw_buf_length(input->buf) - input->at;
        *data = input->buf->data + input->buf->start + input->at;
    } else {
        left = input->feed_bytes;
        *data = input->feed;
    }
    const uint32_t piece = left < most ? left : most;
    if (input->buf != NULL) {
        input->at += piece;
    } else {
        input->feed += piece;
        input->feed_bytes -= piece;
    }
    return piece;
}

void gw_tls_copy_input(struct gw_tls_input *input, uint8_t *to, uint32_t bytes) {
    while (bytes > 0) {
        const uint8_t *data;
        const uint32_t piece = gw_tls_peek_input(input, bytes, &data);
        assert(piece > 0);
        memcpy(to, data, piece);
        to += piece;
        bytes -= piece;
    }
}

uint32_t gw_tls_input_bytes(const struct gw_io_tls *t, const struct gw_tls_socket *s) {
    uint32_t bytes = t->feed_bytes;
    for (const struct gw_buf *buf = s->in; buf != NULL; buf = buf->next) {
        bytes += gw_buf_length(buf);
    }
    return bytes;
}

static void gw_tls_release_input(struct gw_io_tls *t, struct gw_tls_socket *s) {
    struct gw_buf *buf = s->in;
    s->in = buf->next;
    buf->next = NULL;
    t->in_bytes -= buf->capacity;
    gw_buf_release(t->pool, buf);
    if (s->in == NULL) {
        gw_tls_unlist(t, s, GW_TLS_HELD_LIST);
    }
}

void gw_tls_consume_input(struct gw_io_tls *t, struct gw_tls_socket *s, uint32_t bytes) {
    while (s->in != NULL && bytes > 0) {
        struct gw_buf *buf = s->in;
        const uint32_t left = gw_buf_length(buf), piece = left < bytes ? left : bytes;
        buf->start += piece;
        bytes -= piece;
        if (piece == left) {
            gw_tls_release_input(t, s);
        }
    }
    assert(bytes <= t->feed_bytes);
    t->feed += bytes;
    t->feed_bytes -= bytes;
}

size_t gw_tls_take_input(struct gw_io_tls *t, uint8_t *to, size_t room) {
    const uint32_t left = gw_tls_input_bytes(t, t->current), taken = left < room ? left : (uint32_t)room;
    struct gw_tls_input input = gw_tls_input_of(t, t->current);
    gw_tls_copy_input(&input, to, taken);
    gw_tls_consume_input(t, t->current, taken);
    return taken;
}

void gw_tls_drop_input(struct gw_io_tls *t, struct gw_tls_socket *s) {
    while (s->in != NULL) {
        gw_tls_release_input(t, s);
    }
    if (s->plain != NULL) {
        gw_buf_release(t->pool, s->plain);
        s->plain = NULL;
    }
}

static void gw_tls_end_socket(struct gw_io_tls *t, struct gw_tls_socket *s, int32_t result) {
    if (!(s->flags & (GW_TLS_END_DUE | GW_TLS_ENDED))) {
        s->flags |= GW_TLS_END_DUE;
        s->end_result = result;
    }
    gw_tls_unlist(t, s, GW_TLS_SLOT_LIST);
    gw_tls_drop_input(t, s);
    gw_tls_leave_slot(t, s);
}

void gw_tls_end(struct gw_io_tls *t, struct gw_tls_socket *s, int32_t result) {
    gw_tls_end_socket(t, s, result);
    t->feed_bytes = 0;
}

// Is told when its turn in the list comes.
static void gw_tls_end_later(struct gw_io_tls *t, struct gw_tls_socket *s, int32_t result) {
    gw_tls_end_socket(t, s, result);
    gw_tls_unlist(t, s, GW_TLS_INPUT_LIST);
    gw_tls_list(t, GW_TLS_READY, s);
}

// NULL: the pool is full, or nobody's input has waited for longer than the socket's own.
static struct gw_buf *gw_tls_acquire_input(struct gw_io_tls *t, struct gw_tls_socket *s, uint32_t bytes) {
    const uint32_t capacity = gw_buf_class_bytes(bytes);
    const struct gw_tls_list *holding = &t->lists[GW_TLS_HOLDING];
    while (t->in_bytes + capacity > t->in_bytes_max && holding->count > 0 && &t->sockets[holding->first] != s) {
        gw_tls_end_later(t, &t->sockets[holding->first], -ENOBUFS);
    }
    struct gw_buf *buf = t->in_bytes + capacity <= t->in_bytes_max ? gw_buf_acquire(t->pool, bytes) : NULL;
    if (buf != NULL) {
        t->in_bytes += buf->capacity;
        gw_tls_list(t, GW_TLS_HOLDING, s);
    }
    return buf;
}

// A receive that is under way may still bring some more.
void gw_tls_keep_feed(struct gw_io_tls *t, struct gw_tls_socket *s) {
    struct gw_buf **link = &s->in;
    while (*link != NULL && (*link)->next != NULL) {
        link = &(*link)->next;
    }
    while (t->feed_bytes > 0) {
        if (*link == NULL || gw_buf_room(*link) == 0) {
            link = *link == NULL ? link : &(*link)->next;
            *link = gw_tls_acquire_input(t, s, t->feed_bytes);
            if (*link == NULL) {
                gw_tls_end_later(t, s, -ENOBUFS);
                t->feed_bytes = 0;
                return;
            }
        }
        struct gw_buf *buf = *link;
        const uint32_t room = gw_buf_room(buf), piece = t->feed_bytes < room ? t->feed_bytes : room;
        memcpy(buf->data + buf->end, t->feed, piece);
        buf->end += piece;
        t->feed += piece;
        t->feed_bytes -= piece;
    }
}
