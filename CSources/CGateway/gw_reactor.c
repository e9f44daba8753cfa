// The reactor: its creation, and the turn that everything else is called from.
// Owner: whoever created it. Thread: the one that turns it.
#include "gw_reactor.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "gw_everyday.h"
#include "gw_io_epoll.h"
#include "gw_io_uring.h"
#include "gw_writer.h"

// The turn.

static void gw_turn_release_bufs(struct gw_reactor *r) {
    while (r->spent_bufs != NULL) {
        struct gw_buf *buf = r->spent_bufs;
        r->spent_bufs = buf->next;
        buf->next = NULL;
        gw_buf_release(r->pool, buf);
    }
}

// Takes the receive buffers with a lease out of the spent ones; returns how many are left.
static unsigned gw_turn_keep_leased(struct gw_reactor *r) {
    unsigned returned = 0;
    for (const uint32_t *spent = r->spent; spent < r->spent_end; spent++) {
        struct gw_received *received = &r->received[*spent];
        received->held = 0;
        if (received->leases == 0) {
            r->spent[returned++] = *spent;
        }
    }
    return returned;
}

// What the last turn's events pointed to is free again.
static void gw_turn_release(struct gw_reactor *r) {
    const unsigned returned = r->leased == 0 ? (unsigned)(r->spent_end - r->spent) : gw_turn_keep_leased(r);
    if (returned > 0) {
        gw_io_buffers_return(r->io, r->spent, returned);
    }
    r->spent_end = r->spent;
    gw_turn_release_bufs(r);
    r->event = r->events;
}

// Whether the kernel has a short send to the connection of whose end nothing is known yet, as after an early submit between
// two turns: what it has not taken must go before what is queued.
static int gw_conn_waits_for_word(const struct gw_conn *conn, const struct gw_uring_front *front) {
    return conn->epoch == front->epoch && conn->phase < GW_PHASE_ENDED;
}

// With a row that is open, what was sent from it to a dirty connection has been recalled.
static void gw_turn_flush(struct gw_reactor *r) {
    const int all_is_known = r->front->row_open;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < r->dirty_count; i++) {
        struct gw_conn *conn = &r->conns[r->dirty[i]];
        if (__builtin_expect(all_is_known || !gw_conn_waits_for_word(conn, r->front), 1)) {
            gw_conn_flush(r, conn);
        } else {
            r->dirty[kept++] = conn->slot;
        }
    }
    r->dirty_count = kept;
}

static void gw_turn_handle(struct gw_reactor *r, const struct gw_io_event *event) {
    if (event->kind == GW_IO_ACCEPT_FAILED) {
        r->accept_resting = 1;
        r->accept_retry = r->now + gw_deadline_ticks(GW_ACCEPT_RETRY_MS);
        return;
    }
    struct gw_conn *conn = &r->conns[event->socket];
    switch (event->kind) {
    case GW_IO_RECEIVED:
        gw_inbound_received(r, conn, event->buffer, event->bytes);
        break;
    case GW_IO_SENT:
        gw_conn_sent(r, conn, event->result);
        break;
    case GW_IO_ACCEPTED:
        gw_conn_accepted(r, conn, event->peer);
        break;
    case GW_IO_ENDED:
        gw_conn_input_ended(r, conn);
        break;
    case GW_IO_CLOSED:
        gw_conn_released(r, conn);
        // Whatever accepting lacked, a connection less may have freed it.
        r->accept_retry = r->now;
        break;
    }
}

static void gw_turn_tick(struct gw_reactor *r) {
    r->now = (uint32_t)(gw_io_now_ms(r->io) / GW_TIMER_TICK_MS);
}

// What has happened is there.
static void gw_turn_begin(struct gw_reactor *r) {
    r->stats.turns++;
    gw_turn_tick(r);
    // Whoever waits from an earlier turn comes first.
    r->short_end = r->ready_count == 0 && r->takes_short ? r->events_end : r->events;
    r->longer_left = r->longer_max;
}

static int gw_turn_events(struct gw_reactor *r, uint64_t timeout_ns) {
    const int count = gw_io_turn(r->io, timeout_ns, r->io_events, GW_IO_EVENTS);
    if (count < 0) {
        return count;
    }
    gw_turn_begin(r);
    for (int i = 0; i < count; i++) {
        gw_turn_handle(r, &r->io_events[i]);
    }
    r->stats.messages_in += (uint64_t)(r->event - r->events);
    return 0;
}

__attribute__((noinline))
static void gw_turn_complete(struct gw_reactor *r, const struct io_uring_cqe *cqe) {
    struct gw_io_event events[2];
    const unsigned count = r->io->front->complete(r->io, cqe, events);
    for (unsigned i = 0; i < count; i++) {
        gw_turn_handle(r, &events[i]);
    }
}

// What a receive brought in several buffers, from a part on.
__attribute__((noinline))
static void gw_turn_unbundle(struct gw_reactor *r, struct gw_uring_front *front, const struct io_uring_cqe *bundle,
                             uint32_t taken) {
    struct gw_conn *conn = &r->conns[gw_request_socket(bundle->user_data)];
    while (taken < (uint32_t)bundle->res) {
        const struct io_uring_cqe part = gw_uring_part(front, bundle, taken);
        taken += (uint32_t)part.res;
        if ((part.flags & IORING_CQE_F_MORE) && conn->phase < GW_PHASE_RELEASED) {
            front->buffers_free--;
            gw_inbound_received(r, conn, part.flags >> IORING_CQE_BUFFER_SHIFT, (uint32_t)part.res);
        } else {
            gw_turn_complete(r, &part);
        }
    }
}

// A receive that is more than one short message, behind the first, which ends at next, or NULL.
__attribute__((noinline))
static void gw_turn_go_on(struct gw_reactor *r, struct gw_uring_front *front, const struct io_uring_cqe *cqe, uint8_t *next) {
    const uint32_t all = (uint32_t)cqe->res, bytes = all < front->buffer_bytes ? all : front->buffer_bytes;
    struct gw_conn *conn = &r->conns[gw_request_socket(cqe->user_data)];
    gw_inbound_behind(r, conn, cqe->flags >> IORING_CQE_BUFFER_SHIFT, next, bytes);
    if (bytes < all) {
        gw_turn_unbundle(r, front, cqe, bytes);
    }
}

__attribute__((always_inline))
static inline void gw_turn_completion(struct gw_reactor *r, struct gw_uring_front *front, const struct io_uring_cqe *cqe) {
    uint32_t halves[2];
    memcpy(halves, &cqe->user_data, sizeof halves);
    const uint32_t request = halves[1] >> 24;
    struct gw_conn *conn = &r->conns[gw_request_socket(cqe->user_data)];
    // A receive of which more is to come has bytes.
    if (__builtin_expect(request == GW_RECEIVE, 1) && (cqe->flags & IORING_CQE_F_MORE) && gw_inbound_is_calm(r, conn)) {
        const uint32_t buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        uint8_t *const data = gw_received_data(r, buffer), *const end = data + (uint32_t)cqe->res;
        front->buffers_free--;
        uint8_t *const next = gw_inbound_take_first(r, conn, data, end);
        if (next == end) {
            gw_inbound_taken(r, conn, buffer, (uint32_t)cqe->res);
        } else {
            gw_turn_go_on(r, front, cqe, next);
        }
    } else if (request == GW_SEND_SHORT) {
        gw_conn_unsent(r, conn, r->slate + gw_request_offset(cqe->user_data, r->slate), cqe->res);
    } else if (gw_uring_is_bundle(front, cqe)) {
        gw_turn_unbundle(r, front, cqe, 0);
    } else {
        gw_turn_complete(r, cqe);
    }
}

// Everything on the slate has left. When epochs begin anew, connections of 2^16 turns ago must not seem to be of this one.
static inline void gw_turn_renew_slate(struct gw_reactor *r, struct gw_uring_front *front) {
    if (__builtin_expect(front->epoch == 0, 0)) {
        for (uint32_t slot = 0; slot < r->slots_touched; slot++) {
            r->conns[slot].epoch = 0;
        }
        front->epoch++;
    }
    gw_writer_wipe(r);
}

// The same over io_uring's completions where they lie, all of them: what is sent next must know how the last sends ended.
static int gw_turn_walk(struct gw_reactor *r, struct gw_uring_front *front, uint64_t timeout_ns) {
    const int error = front->begin(r->io, timeout_ns);
    if (error < 0) {
        return error;
    }
    gw_turn_begin(r);
    unsigned at = *front->head;
    const unsigned end = __atomic_load_n(front->tail, __ATOMIC_ACQUIRE);
    while (at != end) {
        // As many as lie one behind the other.
        const unsigned first = at & front->mask, left = end - at, behind = front->mask + 1 - first;
        const unsigned count = left < behind ? left : behind;
        const struct io_uring_cqe *cqe = &front->completions[first], *const last = cqe + count;
        at += count;
        for (; cqe != last; cqe++) {
            gw_turn_completion(r, front, cqe);
        }
    }
    r->stats.messages_in += (uint64_t)(r->event - r->events);
    front->end(r->io, end);
    if (front->row_open) {
        gw_turn_renew_slate(r, front);
    }
    return 0;
}

static void gw_turn_expire(struct gw_reactor *r) {
    uint32_t slot;
    while ((slot = gw_wheel_expire(&r->wheel, r->now)) != GW_TIMER_NONE) {
        gw_conn_timer_fired(r, &r->conns[slot]);
    }
    if (r->accept_resting && !gw_tick_before(r->now, r->accept_retry)) {
        r->accept_resting = 0;
        gw_io_accept_resume(r->io);
    }
}

// First come, first served; who has more than this turn takes goes behind those who wait.
static void gw_turn_advance(struct gw_reactor *r) {
    const uint32_t count = r->ready_count;
    r->short_end = r->takes_short ? r->events_end : r->events;
    uint32_t done = 0;
    while (done < count && gw_reactor_has_room(r)) {
        const uint32_t slot = r->ready[done++];
        struct gw_conn *conn = &r->conns[slot];
        if (gw_conn_advance(r, conn)) {
            r->ready[r->ready_count++] = slot;
        } else {
            conn->flags &= (uint16_t)~GW_CONN_READY;
        }
    }
    r->ready_count -= done;
    memmove(r->ready, r->ready + done, r->ready_count * sizeof *r->ready);
}

// At most the caller's timeout, at most until the next deadline, and not at all while anybody is ready or still dirty.
static uint64_t gw_turn_timeout(const struct gw_reactor *r, uint64_t timeout_ns) {
    if (timeout_ns == 0 || r->ready_count + r->dirty_count > 0) {
        return 0;
    }
    uint32_t tick;
    int waits = gw_wheel_next(&r->wheel, &tick);
    if (r->accept_resting && (!waits || gw_tick_before(r->accept_retry, tick))) {
        tick = r->accept_retry;
        waits = 1;
    }
    if (!waits) {
        return timeout_ns;
    }
    const int32_t ticks = (int32_t)(tick - r->now);
    const uint64_t until_ns = ticks <= 0 ? 0 : (uint64_t)ticks * GW_TIMER_TICK_MS * 1000000u;
    return until_ns < timeout_ns ? until_ns : timeout_ns;
}

int gw_reactor_turn(struct gw_reactor *r, uint64_t timeout_ns, const struct gw_event **events) {
    *events = r->events;
    gw_writer_end(r);
    gw_turn_release(r);
    gw_turn_tick(r);
    gw_turn_flush(r);
    const uint64_t wait_ns = gw_turn_timeout(r, timeout_ns);
    const int error = r->io->front != NULL ? gw_turn_walk(r, r->io->front, wait_ns) : gw_turn_events(r, wait_ns);
    if (error < 0) {
        return error;
    }
    gw_turn_expire(r);
    gw_turn_advance(r);
    return (int)(r->event - r->events);
}

void gw_reactor_wake(struct gw_reactor *r) { gw_io_wake(r->io); }

// Both make requests, before which others may be submitted.

int gw_reactor_listen(struct gw_reactor *r, const char *address, uint16_t port, int shared) {
    gw_writer_end(r);
    return gw_io_listen(r->io, address, port, shared);
}

void gw_reactor_stop_listening(struct gw_reactor *r) {
    gw_writer_end(r);
    gw_io_stop_listening(r->io);
}

// Life.

static uint64_t gw_reactor_arrays_bytes(const struct gw_reactor *r) {
    return (uint64_t)(r->events_end - r->events) * (sizeof *r->events + sizeof *r->event_bufs)
         + r->io->receive_buffers * (sizeof *r->received + sizeof *r->spent)
         + GW_IO_EVENTS * sizeof *r->io_events + GW_SLATE_BYTES + GW_CHUNK_BYTES_MAX;
}

void gw_reactor_stats(const struct gw_reactor *r, struct gw_stats *stats) {
    struct gw_io_stats io;
    gw_io_read_stats(r->io, &io);
    *stats = r->stats;
    stats->syscalls = io.syscalls;
    stats->receive_starved = io.receive_starved;
    stats->connections = stats->accepted - stats->closed;
    stats->deflate_bytes = r->compression.reserved_bytes;
    stats->gathered_bytes = r->gathering.bytes;
    stats->pool_bytes = gw_pool_held_bytes(r->pool);
    stats->core_bytes = sizeof *r + gw_reactor_arrays_bytes(r) + io.bytes
                      + r->slots_touched * (sizeof *r->conns + 3 * sizeof *r->ready)
                      + r->references.touched * sizeof *r->references.references
                      + r->gathering.touched * sizeof *r->gathering.connections
                      + gw_peers_bytes(&r->peers, r->slots_touched);
}

// The backend goes first: until then the kernel may read what is queued and write to the receive buffers.
static void gw_reactor_free(struct gw_reactor *r) {
    gw_io_destroy(r->io);
    r->references.leases = NULL;
    for (uint32_t slot = 0; slot < r->slots_touched; slot++) {
        struct gw_conn *conn = &r->conns[slot];
        if (conn->generation != 0 && conn->phase != GW_PHASE_FREE) {
            gw_outbound_clear(&conn->out, &r->references);
            gw_inbound_drop(r, conn);
            gw_message_deinit(&conn->message, r->pool);
            gw_ws_decoder_deinit(&conn->decoder, r->pool);
            gw_compression_close(r, conn);
        }
    }
    gw_turn_release_bufs(r);
    if (r->references.references != NULL) {
        gw_reference_slab_deinit(&r->references);
    }
    if (r->pool != NULL) {
        gw_pool_destroy(r->pool);
    }
    if (r->conns != NULL) {
        munmap(r->conns, r->connections_max * sizeof *r->conns);
    }
    gw_peers_deinit(&r->peers);
    gw_compression_deinit(&r->compression);
    gw_gathering_deinit(&r->gathering);
    gw_config_free_policy(&r->policy);
    free(r->received);
    free(r->events);
    free(r->ready);
    free(r->dirty);
    free(r->spent);
    free(r->slate);
    free(r->event_bufs);
    free(r->io_events);
    free(r);
}

static int gw_reactor_allocate(struct gw_reactor *r, const struct gw_config *config) {
    void *conns = mmap(NULL, r->connections_max * sizeof *r->conns, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    r->conns = conns == MAP_FAILED ? NULL : conns;
    r->received = calloc(config->receive_buffers, sizeof *r->received);
    r->spent = calloc(config->receive_buffers, sizeof *r->spent);
    r->events = calloc(config->batch_events_max, sizeof *r->events);
    r->event_bufs = calloc(config->batch_events_max, sizeof *r->event_bufs);
    r->ready = calloc(2 * (size_t)r->connections_max, sizeof *r->ready);   // the walk appends while it reads
    r->dirty = calloc(r->connections_max, sizeof *r->dirty);
    r->slate = malloc(GW_SLATE_BYTES + GW_CHUNK_BYTES_MAX);
    r->io_events = calloc(GW_IO_EVENTS, sizeof *r->io_events);
    if (r->conns == NULL || r->received == NULL || r->spent == NULL || r->events == NULL || r->event_bufs == NULL
        || r->ready == NULL || r->dirty == NULL || r->slate == NULL || r->io_events == NULL) {
        return -ENOMEM;
    }
    r->conns->phase = GW_PHASE_FREE;   // the id 0 is nobody's
    // A gathered message and a frame to send are each whole in one buffer, and so are the longest request and
    // what a receive brought.
    uint32_t buffer_bytes = config->message_bytes_max + GW_MESSAGE_ROOM_BYTES;
    buffer_bytes = buffer_bytes > GW_REQUEST_BYTES_MAX ? buffer_bytes : GW_REQUEST_BYTES_MAX;
    buffer_bytes = buffer_bytes > config->receive_buffer_bytes ? buffer_bytes : config->receive_buffer_bytes;
    const uint32_t block_bytes = gw_compression_block_bytes(config);
    buffer_bytes = buffer_bytes > block_bytes ? buffer_bytes : block_bytes;
    const int error = gw_pool_create(config->pool_bytes_max, buffer_bytes, &r->pool);
    if (error != 0) {
        return error;
    }
    // Small frames share buffers, so a reference stands for some 500 bytes queued, or for all that a connection
    // has queued: the sum lets each hold a few, and the slow ones many.
    return gw_reference_slab_init(&r->references, r->pool, (1u << 16) + 4 * r->connections_max, r);
}

int gw_reactor_create_on(const struct gw_config *config, struct gw_io *io, struct gw_reactor **reactor) {
    struct gw_reactor *r = calloc(1, sizeof *r);
    if (r == NULL) {
        gw_io_destroy(io);
        return -ENOMEM;
    }
    r->io = io;
    r->front = io->front != NULL && config->outbound_bytes_max >= GW_SLATE_BYTES_MIN ? io->front : &gw_uring_no_front;
    r->connections_max = config->connections_max;
    r->untrusted_max = config->untrusted_max;
    r->outbound_bytes_max = config->outbound_bytes_max;
    r->outbound_pause = config->outbound_bytes_max / 2;
    r->outbound_resume = config->outbound_bytes_max / 4;
    r->handshake_ticks = gw_deadline_ticks(config->handshake_ms);
    r->stall_ticks = gw_deadline_ticks(config->write_stall_ms);
    r->close_ticks = gw_deadline_ticks(config->close_ms);
    r->idle_ticks = gw_deadline_ticks(config->idle_ms);
    r->idle_code = config->idle_code;
    int error = gw_reactor_allocate(r, config);
    if (error == 0) {
        error = gw_peers_init(&r->peers, config->connections_max, config->untrusted_per_peer_max);
    }
    if (error == 0) {
        error = gw_compression_init(&r->compression, config);
    }
    if (error == 0) {
        error = gw_gathering_init(&r->gathering, config);
    }
    if (error == 0) {
        error = gw_config_copy_policy(config, &r->policy);
    }
    if (error != 0) {
        gw_reactor_free(r);
        return error;
    }
    r->codec = (struct gw_ws_config){
        .message_bytes_max = config->message_bytes_max, .fragments_max = config->fragments_max, .pool = r->pool,
    };
    r->slate_limit = r->slate + GW_SLATE_BYTES;
    r->chunk_bytes_max = config->outbound_bytes_max < GW_CHUNK_BYTES_MAX ? config->outbound_bytes_max : GW_CHUNK_BYTES_MAX;
    r->chunk_room = r->chunk_bytes_max - GW_SHORT_FRAME_BYTES_MAX;
    gw_writer_wipe(r);
    r->event = r->events;
    r->spent_end = r->spent;
    r->events_end = r->events + config->batch_events_max;
    // A first short message ends in its buffer, even if what was received goes on in others.
    r->takes_short = config->message_bytes_max >= GW_WS_SHORT_BYTES_MAX
                  && config->receive_buffer_bytes >= GW_WS_SHORT_HEADER_BYTES + GW_WS_SHORT_BYTES_MAX
                  && config->batch_events_max * GW_SHORT_ANSWER_BYTES_MAX <= r->outbound_pause;
    r->longer_max = r->takes_short ? r->outbound_pause - config->batch_events_max * GW_SHORT_ANSWER_BYTES_MAX : 0;
    r->forward_bytes_min = GW_FORWARD_BYTES_MIN;
    r->frame_payload_max = gw_pool_buffer_bytes_max(r->pool) - GW_WS_SERVER_HEADER_BYTES_MAX;
    gw_turn_tick(r);
    gw_wheel_init(&r->wheel, &r->conns->timer, sizeof *r->conns, r->now);
    *reactor = r;
    return 0;
}

// Errors that say that io_uring is not to be had here: sysctl or seccomp, a security module, no such call, a kernel
// that lacks a feature. Want of memory or descriptors is none of them: epoll would want them too, and a full
// machine must not quietly get the slower backend.
static int gw_io_uring_is_refused(int error) {
    return error == -EPERM || error == -EACCES || error == -ENOSYS || error == -EINVAL || error == -EOPNOTSUPP;
}

static int gw_reactor_open_io(const struct gw_config *config, struct gw_io **io, int *refusal) {
    const struct gw_io_config io_config = {
        .sockets_max = config->connections_max,
        .receive_buffers = config->receive_buffers,
        .receive_buffer_bytes = config->receive_buffer_bytes,
        .peers_wanted = config->untrusted_per_peer_max > 0,
        .options_wanted = config->tls_kernel && config->tls_certificate_file != NULL,
    };
    *refusal = 0;
    if (config->backend != GW_BACKEND_EPOLL) {
        const int error = gw_io_uring_create(&io_config, io);
        if (config->backend == GW_BACKEND_IO_URING || !gw_io_uring_is_refused(error)) {
            return error;
        }
        *refusal = error;
    }
    return gw_io_epoll_create(&io_config, io);
}

int gw_reactor_create(const struct gw_config *config, struct gw_reactor **reactor) {
    *reactor = NULL;
    const int valid = gw_config_check(config);
    if (valid != 0) {
        return valid;
    }
    struct gw_io *io;
    int refusal;
    int error = gw_reactor_open_io(config, &io, &refusal);
    if (error == 0 && config->tls_certificate_file != NULL) {
        error = gw_secure_io(config, &io);
    }
    if (error == 0) {
        error = gw_reactor_create_on(config, io, reactor);
    }
    if (error == 0) {
        (*reactor)->secure = config->tls_certificate_file != NULL;
        (*reactor)->io_refusal = refusal;
    }
    return error;
}

void gw_reactor_destroy(struct gw_reactor *r) {
    gw_reactor_free(r);
}

const char *gw_reactor_backend(const struct gw_reactor *r, int *refusal) {
    *refusal = r->io_refusal;
    return r->io->ops->name;
}
