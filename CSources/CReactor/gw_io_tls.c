// The TLS layer: its requests, its turn, its life; see gw_io_tls.h for what it promises and gw_tls.h for how it is
// divided.
// Owner and thread: the reactor's, as gw_tls.h says.
#include <assert.h>
#include <errno.h>
#include <openssl/err.h>
#include <stdlib.h>

#include "gw_tls.h"

enum { GW_TLS_IN_PART = 2 };   // of the buffers

// OpenSSL's door: one BIO for all sockets.

static int gw_bio_read(BIO *bio, char *to, size_t room, size_t *taken) {
    BIO_clear_retry_flags(bio);
    *taken = gw_tls_take_input(BIO_get_data(bio), (uint8_t *)to, room);
    if (*taken == 0) {
        BIO_set_retry_read(bio);
    }
    return *taken > 0;
}

static int gw_bio_write(BIO *bio, const char *bytes, size_t length, size_t *taken) {
    BIO_clear_retry_flags(bio);
    *taken = gw_tls_put_output(BIO_get_data(bio), (const uint8_t *)bytes, length) ? length : 0;
    return *taken > 0;
}

static long gw_bio_control(BIO *bio, int command, long number, void *pointer) {
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

// Requests.

static int gw_tls_listen(struct gw_io *io, const char *address, uint16_t port, int shared) {
    return gw_io_listen(gw_tls(io)->inner, address, port, shared);
}
static void gw_tls_stop_listening(struct gw_io *io) { gw_io_stop_listening(gw_tls(io)->inner); }
static void gw_tls_accept_resume(struct gw_io *io) { gw_io_accept_resume(gw_tls(io)->inner); }

static void gw_tls_receive_start(struct gw_io *io, uint32_t socket) {
    struct gw_io_tls *t = gw_tls(io);
    struct gw_tls_socket *s = &t->sockets[socket];
    s->flags |= GW_TLS_WANTED;
    if (!(s->flags & (GW_TLS_BLOCKED | GW_TLS_RECEIVING | GW_TLS_INNER_ENDED))) {
        s->flags |= GW_TLS_RECEIVING;
        gw_io_receive_start(t->inner, socket);
    }
}

static void gw_tls_receive_pause(struct gw_io *io, uint32_t socket) {
    struct gw_io_tls *t = gw_tls(io);
    struct gw_tls_socket *s = &t->sockets[socket];
    s->flags &= ~(uint32_t)GW_TLS_WANTED;
    if (s->flags & GW_TLS_RECEIVING) {
        s->flags &= ~(uint32_t)GW_TLS_RECEIVING;
        gw_io_receive_pause(t->inner, socket);
    }
}

static void gw_tls_buffers_return(struct gw_io *io, const uint32_t *buffers, unsigned count) {
    struct gw_io_tls *t = gw_tls(io);
    assert(t->buffers_free + count <= io->receive_buffers);
    for (unsigned i = 0; i < count; i++) {
        t->buffers[t->buffers_free++] = buffers[i];
    }
}

static void gw_tls_shutdown(struct gw_io *io, uint32_t socket) {
    struct gw_io_tls *t = gw_tls(io);
    struct gw_tls_socket *s = &t->sockets[socket];
    gw_tls_say_end(t, s);
    gw_tls_flush(t, s);
    s->flags |= GW_TLS_SHUT;
    gw_tls_shut(t, s);
}

// The last send need not be waited for: the backend has taken it before it hears of the close, and what the peer's
// window has no room for is given up with the socket.
static void gw_tls_close(struct gw_io *io, uint32_t socket) {
    struct gw_io_tls *t = gw_tls(io);
    struct gw_tls_socket *s = &t->sockets[socket];
    assert(!(s->flags & GW_TLS_CLOSING));
    if (!(s->flags & (GW_TLS_SHUT | GW_TLS_INNER_SENDING))) {
        gw_tls_say_end(t, s);
        gw_tls_flush(t, s);
    }
    SSL_free(s->ssl);
    s->ssl = NULL;
    gw_tls_drop_keys(t, s);
    gw_tls_leave_slot(t, s);
    gw_tls_drop_input(t, s);
    gw_tls_leave_lists(t, s);
    s->flags = GW_TLS_CLOSING;
    gw_io_close(t->inner, socket);
}

// The turn.

static void gw_tls_accepted(struct gw_io_tls *t, struct gw_tls_socket *s) {
    const uint32_t socket = gw_tls_number(t, s);
    *s = (struct gw_tls_socket){ .flags = 0 };
    if (t->sockets_touched <= socket) {
        t->sockets_touched = socket + 1;
    }
}

static void gw_tls_handle(struct gw_io_tls *t, const struct gw_io_event *event, struct gw_tls_told *told) {
    if (event->kind == GW_IO_ACCEPT_FAILED) {
        told->events[told->count++] = *event;
        return;
    }
    struct gw_tls_socket *s = &t->sockets[event->socket];
    switch (event->kind) {
    case GW_IO_ACCEPTED:
        gw_tls_accepted(t, s);
        told->events[told->count++] = *event;
        break;
    case GW_IO_RECEIVED:
        t->feed = event->data;
        t->feed_bytes = event->bytes;
        gw_tls_pump(t, s, told);
        gw_io_buffers_return(t->inner, &event->buffer, 1);
        break;
    case GW_IO_ENDED:
        s->flags = (s->flags | GW_TLS_INNER_ENDED) & ~(uint32_t)GW_TLS_RECEIVING;
        if (!(s->flags & (GW_TLS_END_DUE | GW_TLS_ENDED))) {
            s->end_result = event->result;
        }
        t->feed_bytes = 0;
        gw_tls_pump(t, s, told);
        break;
    case GW_IO_SENT:
        gw_tls_sent(t, s, event->result, told);
        break;
    case GW_IO_CLOSED:
        gw_tls_drop_output(t, s);
        told->events[told->count++] = *event;
        break;
    }
}

// Those who waited get half of the room before the news and what is left after them. Of the news each has a place
// kept for one event; what it has to tell beyond that waits.
static int gw_tls_turn(struct gw_io *io, uint64_t timeout_ns, struct gw_io_event *events, unsigned capacity) {
    struct gw_io_tls *t = gw_tls(io);
    assert(capacity >= 2);
    struct gw_tls_told told = { .events = events, .limit = capacity >= 4 ? capacity / 2 : 0 };
    t->steps_left = GW_TLS_STEPS;
    gw_tls_retry_dry(t);
    gw_tls_admit(t);
    gw_tls_tell_reports(t, &told);
    gw_tls_pump_ready(t, &told);
    if (told.count > 0 || t->lists[GW_TLS_REPORTS].count > 0 || gw_tls_has_input_work(t)) {
        timeout_ns = 0;
    }
    const unsigned room = capacity - told.count;
    const int count = gw_io_turn(t->inner, timeout_ns, t->events, room < GW_TLS_EVENTS ? room : GW_TLS_EVENTS);
    if (count < 0) {
        return told.count > 0 ? (int)told.count : count;
    }
    for (int i = 0; i < count; i++) {
        told.limit = capacity - (unsigned)(count - 1 - i);
        gw_tls_handle(t, &t->events[i], &told);
    }
    told.limit = capacity;
    gw_tls_pump_ready(t, &told);
    gw_tls_tell_reports(t, &told);
    return (int)told.count;
}

static void gw_tls_wake(struct gw_io *io) { gw_io_wake(gw_tls(io)->inner); }
static uint64_t gw_tls_now_ms(struct gw_io *io) { return gw_io_now_ms(gw_tls(io)->inner); }

static void gw_tls_read_stats(const struct gw_io *io, struct gw_io_stats *stats) {
    const struct gw_io_tls *t = (const struct gw_io_tls *)io;
    gw_io_read_stats(t->inner, stats);
    stats->receive_starved += t->starvations;
    stats->bytes += sizeof *t + t->sockets_touched * sizeof *t->sockets + gw_pool_held_bytes(t->pool)
                  + io->receive_buffers * (uint64_t)io->receive_buffer_bytes;
}

// Life.

static void gw_tls_destroy(struct gw_io *io) {
    struct gw_io_tls *t = gw_tls(io);
    gw_io_destroy(t->inner);   // first: until then the kernel may read what is queued
    for (uint32_t socket = 0; socket < t->sockets_touched; socket++) {
        struct gw_tls_socket *s = &t->sockets[socket];
        SSL_free(s->ssl);
        OPENSSL_cleanse(s->keys, sizeof s->keys);
        gw_tls_drop_input(t, s);
        gw_tls_drop_output(t, s);
    }
    gw_tls_ciphers_close(t);
    SSL_CTX_free(t->context);
    BIO_free(t->bio);
    BIO_meth_free(t->bio_method);
    if (t->pool != NULL) {
        gw_pool_destroy(t->pool);
    }
    gw_unmap(t->sockets, t->sockets_max * sizeof *t->sockets);
    gw_unmap(io->receive_memory, (size_t)io->receive_buffers * io->receive_buffer_bytes);
    free(t->buffers);
    free(t);
}

static const struct gw_io_ops gw_tls_ops = {
    .destroy = gw_tls_destroy,
    .listen = gw_tls_listen,
    .stop_listening = gw_tls_stop_listening,
    .accept_resume = gw_tls_accept_resume,
    .receive_start = gw_tls_receive_start,
    .receive_pause = gw_tls_receive_pause,
    .buffers_return = gw_tls_buffers_return,
    .send = gw_tls_send,
    .shutdown = gw_tls_shutdown,
    .close = gw_tls_close,
    .turn = gw_tls_turn,
    .wake = gw_tls_wake,
    .now_ms = gw_tls_now_ms,
    .read_stats = gw_tls_read_stats,
};

static int gw_tls_open_bio(struct gw_io_tls *t) {
    t->bio_method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "ringway");
    if (t->bio_method == NULL || BIO_meth_set_read_ex(t->bio_method, gw_bio_read) != 1
        || BIO_meth_set_write_ex(t->bio_method, gw_bio_write) != 1
        || BIO_meth_set_ctrl(t->bio_method, gw_bio_control) != 1) {
        return -ENOMEM;
    }
    t->bio = BIO_new(t->bio_method);
    if (t->bio == NULL) {
        return -ENOMEM;
    }
    BIO_set_data(t->bio, t);
    BIO_set_init(t->bio, 1);
    return 0;
}

static int gw_tls_prepare(struct gw_io_tls *t, const struct gw_tls_config *config) {
    t->io.receive_memory = gw_map((size_t)t->io.receive_buffers * t->io.receive_buffer_bytes);
    t->sockets = gw_map(t->sockets_max * sizeof *t->sockets);
    t->buffers = calloc(t->io.receive_buffers, sizeof *t->buffers);
    if (t->io.receive_memory == NULL || t->sockets == NULL || t->buffers == NULL) {
        return -ENOMEM;
    }
    // Taken from the end: the lowest first, so that a quiet server touches few.
    while (t->buffers_free < t->io.receive_buffers) {
        t->buffers[t->buffers_free] = t->io.receive_buffers - 1 - t->buffers_free;
        t->buffers_free++;
    }
    uint32_t buffer_bytes = GW_TLS_RECORD_BYTES + GW_TLS_RECORD_ROOM;
    buffer_bytes = buffer_bytes > t->io.receive_buffer_bytes ? buffer_bytes : t->io.receive_buffer_bytes;
    if (gw_pool_create(t->buffer_bytes_max, buffer_bytes, &t->pool) != 0 || gw_tls_open_bio(t) != 0
        || gw_tls_ciphers_open(t) != 0) {
        return -ENOMEM;
    }
    return gw_tls_context_load(config->certificate_file, config->key_file, &t->context);
}

int gw_io_tls_create(struct gw_io *inner, const struct gw_tls_config *config, struct gw_io **io) {
    struct gw_io_tls *t = calloc(1, sizeof *t);
    if (t == NULL) {
        gw_io_destroy(inner);
        return -ENOMEM;
    }
    t->inner = inner;
    t->ops = gw_tls_ops;
    t->ops.name = inner->ops->name;
    t->io = (struct gw_io){ .ops = &t->ops, .receive_buffers = inner->receive_buffers,
                            .receive_buffer_bytes = inner->receive_buffer_bytes };
    t->sockets_max = config->sockets_max;
    t->handshakes_max = config->handshakes_max;
    t->buffer_bytes_max = config->buffer_bytes_max;
    t->in_bytes_max = config->buffer_bytes_max / GW_TLS_IN_PART;
    t->records_max = config->records_max != 0 ? config->records_max : GW_TLS_RECORDS_MAX;
    if (config->kernel && inner->ops->set_option != NULL) {
        t->kernel_suites = gw_tls_kernel_probe();
    }
    const int error = gw_tls_prepare(t, config);
    if (error != 0) {
        gw_tls_destroy(&t->io);
        return error;
    }
    *io = &t->io;
    return 0;
}

uint32_t gw_io_tls_kernel_versions(struct gw_io *io) {
    const uint32_t suites = gw_tls(io)->kernel_suites, of_one = (1u << GW_TLS_CIPHERS) - 1;
    return (suites & of_one ? GW_TLS_KERNEL_1_2 : 0) | (suites >> GW_TLS_CIPHERS & of_one ? GW_TLS_KERNEL_1_3 : 0);
}

int gw_io_tls_reload(struct gw_io *io, const char *certificate_file, const char *key_file) {
    struct gw_io_tls *t = gw_tls(io);
    SSL_CTX *context;
    const int error = gw_tls_context_load(certificate_file, key_file, &context);
    if (error == 0) {
        SSL_CTX_free(t->context);
        t->context = context;
    }
    return error;
}
