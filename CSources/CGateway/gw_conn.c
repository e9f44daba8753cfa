// A connection's life: phases, deadlines, and when its queue is handed to the backend. What input means is
// gw_inbound.c's, what the caller sends gw_send.c's. The header draws the phases.
// Owner and thread: the connection's reactor's.
#include "gw_conn.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

#include "gw_writer.h"

// Deadlines. The timer is armed for the earliest of them and never moved away: when it fires too early it is
// armed again, so that traffic costs no timer operation.

static inline int gw_conn_is_due(const struct gw_reactor *r, uint32_t since, uint32_t ticks) {
    return !gw_tick_before(r->now, since + ticks);
}

static void gw_conn_arm(struct gw_reactor *r, struct gw_conn *conn, uint32_t tick) {
    assert(conn->phase < GW_PHASE_ENDED);
    if (!gw_timer_is_armed(&conn->timer) || gw_tick_before(tick, conn->timer_tick)) {
        conn->timer_tick = tick;
        gw_timer_arm(&r->wheel, conn->slot, tick);
    }
}

static void gw_conn_arm_phase(struct gw_reactor *r, struct gw_conn *conn) {
    switch (conn->phase) {
    case GW_PHASE_HANDSHAKE:
        gw_conn_arm(r, conn, conn->since_tick + r->handshake_ticks);
        break;
    case GW_PHASE_OPEN:
        if (conn->idle_ticks != 0 && !(conn->flags & GW_CONN_PAUSED)) {
            gw_conn_arm(r, conn, conn->active_tick + conn->idle_ticks);
        }
        break;
    case GW_PHASE_CLOSING:
    case GW_PHASE_FLUSHING:
    case GW_PHASE_REFUSING:
    case GW_PHASE_LINGERING:
        gw_conn_arm(r, conn, conn->since_tick + r->close_ticks);
        break;
    default:
        break;
    }
}

// Whether the phase's own deadline ended it.
static int gw_conn_phase_expired(struct gw_reactor *r, struct gw_conn *conn) {
    switch (conn->phase) {
    case GW_PHASE_HANDSHAKE:
        return gw_conn_is_due(r, conn->since_tick, r->handshake_ticks);
    case GW_PHASE_OPEN:
        if (conn->idle_ticks != 0 && !(conn->flags & GW_CONN_PAUSED)
            && gw_conn_is_due(r, conn->active_tick, conn->idle_ticks)) {
            gw_conn_begin_close(r, conn, r->idle_code, NULL, 0);
        }
        return 0;
    case GW_PHASE_CLOSING:
    case GW_PHASE_FLUSHING:
    case GW_PHASE_REFUSING:
    case GW_PHASE_LINGERING:
        return gw_conn_is_due(r, conn->since_tick, r->close_ticks);
    default:
        return 0;
    }
}

void gw_conn_timer_fired(struct gw_reactor *r, struct gw_conn *conn) {
    if (conn->flags & GW_CONN_STARVED) {
        conn->flags = (uint16_t)((conn->flags & ~(GW_CONN_STARVED | GW_CONN_WANTS_WRITABLE)) | GW_CONN_WRITABLE);
        gw_reactor_make_ready(r, conn);
    }
    const int stalled = (conn->flags & GW_CONN_SENDING) && gw_conn_is_due(r, conn->progress_tick, r->stall_ticks);
    if (stalled || gw_conn_phase_expired(r, conn)) {
        gw_conn_end(r, conn);
        return;
    }
    // An idle connection for whose close frame there was no buffer has ended, and must not be armed again.
    if (conn->phase >= GW_PHASE_ENDED) {
        return;
    }
    gw_conn_arm_phase(r, conn);
    if (conn->flags & GW_CONN_SENDING) {
        gw_conn_arm(r, conn, conn->progress_tick + r->stall_ticks);
    }
}

void gw_conn_starve(struct gw_reactor *r, struct gw_conn *conn) {
    conn->flags |= GW_CONN_STARVED;
    gw_conn_arm(r, conn, r->now + 1);
}

void gw_conn_set_idle_ticks(struct gw_reactor *r, struct gw_conn *conn, uint32_t ticks) {
    if (conn->phase == GW_PHASE_OPEN) {
        conn->idle_ticks = ticks;
        gw_conn_arm_phase(r, conn);
    }
}

// Transitions.

static void gw_conn_enter(struct gw_reactor *r, struct gw_conn *conn, enum gw_phase phase) {
    conn->phase = (uint8_t)phase;
    if (phase == GW_PHASE_OPEN) {
        conn->idle_ticks = r->idle_ticks;
    } else {
        conn->since_tick = r->now;
    }
    gw_conn_arm_phase(r, conn);
}

static void gw_conn_resume(struct gw_reactor *r, struct gw_conn *conn) {
    conn->flags &= (uint16_t)~GW_CONN_PAUSED;
    conn->active_tick = r->now;
    gw_reactor_make_ready(r, conn);
    gw_conn_arm_phase(r, conn);
}

// From here on no message is delivered, so nothing has to wait for room in the queue.
static void gw_conn_leave_open(struct gw_reactor *r, struct gw_conn *conn) {
    gw_gathering_drop(r, conn);
    conn->flags &= (uint16_t)~(GW_CONN_WANTS_WRITABLE | GW_CONN_WRITABLE | GW_CONN_STARVED);
    if (conn->flags & GW_CONN_PAUSED) {
        gw_conn_resume(r, conn);
    }
}

// A close frame may exceed the queue's bound: there is at most one.
static int gw_conn_queue_close(struct gw_reactor *r, struct gw_conn *conn, uint16_t code, const char *reason,
                               size_t bytes) {
    uint8_t frame[2 + GW_WS_CONTROL_BYTES_MAX];
    const size_t length = gw_ws_encode_close(frame, code, reason, bytes);
    if (gw_outbound_append_bytes(&conn->out, &r->references, frame, (uint32_t)length) != 0) {
        gw_conn_end(r, conn);
        return GW_ENOBUFS;
    }
    gw_reactor_make_dirty(r, conn);
    return 0;
}

void gw_conn_open(struct gw_reactor *r, struct gw_conn *conn) {
    gw_ws_decoder_init(&conn->decoder);
    conn->flags |= GW_CONN_OPENED;
    gw_conn_enter(r, conn, GW_PHASE_OPEN);
    gw_reactor_make_dirty(r, conn);
}

void gw_conn_begin_close(struct gw_reactor *r, struct gw_conn *conn, uint16_t code, const char *reason, size_t bytes) {
    conn->close_code = code;
    gw_conn_leave_open(r, conn);
    if (gw_conn_queue_close(r, conn, code, reason, bytes) == 0) {
        gw_conn_enter(r, conn, GW_PHASE_CLOSING);
    }
}

void gw_conn_answer_close(struct gw_reactor *r, struct gw_conn *conn, uint16_t code) {
    if (conn->phase == GW_PHASE_OPEN) {
        conn->close_code = code;
        gw_conn_leave_open(r, conn);
        if (gw_conn_queue_close(r, conn, code, NULL, 0) != 0) {
            return;
        }
    }
    gw_conn_enter(r, conn, GW_PHASE_FLUSHING);
    gw_reactor_make_dirty(r, conn);
}

void gw_conn_fail(struct gw_reactor *r, struct gw_conn *conn, uint16_t code) {
    if (conn->phase == GW_PHASE_OPEN) {
        conn->close_code = code;
        gw_conn_leave_open(r, conn);
        if (gw_conn_queue_close(r, conn, code, NULL, 0) != 0) {
            return;
        }
    }
    gw_conn_refuse(r, conn);
}

void gw_conn_refuse(struct gw_reactor *r, struct gw_conn *conn) {
    gw_conn_enter(r, conn, GW_PHASE_REFUSING);
    gw_reactor_make_dirty(r, conn);
}

void gw_conn_end(struct gw_reactor *r, struct gw_conn *conn) {
    if (conn->phase < GW_PHASE_ENDED) {
        conn->phase = GW_PHASE_ENDED;
        gw_timer_cancel(&r->wheel, conn->slot);
        gw_reactor_make_ready(r, conn);
    }
}

// The last event of an id. The slot is not given up before it is handed out, or a newcomer could overtake it.
static int gw_conn_release(struct gw_reactor *r, struct gw_conn *conn) {
    if (conn->flags & GW_CONN_OPENED) {
        if (!gw_reactor_has_room(r)) {
            return 1;
        }
        struct gw_event *event = gw_reactor_push_event(r, conn->id, GW_EVENT_CLOSED, 0);
        event->code = conn->close_code != 0 ? conn->close_code : GW_CLOSE_ABNORMAL;
    } else {
        r->stats.handshakes_failed++;
    }
    gw_gathering_drop(r, conn);
    gw_ws_decoder_deinit(&conn->decoder, r->pool);
    gw_compression_close(r, conn);
    gw_inbound_drop(r, conn);
    conn->generation += conn->generation == UINT32_MAX ? 2 : 1;
    conn->flags &= (uint16_t)~GW_CONN_OPENED;
    conn->phase = GW_PHASE_RELEASED;
    gw_io_close(r->io, conn->slot);
    return 0;
}

int gw_conn_advance(struct gw_reactor *r, struct gw_conn *conn) {
    for (;;) {
        if (conn->flags & GW_CONN_WRITABLE) {
            if (!gw_reactor_has_room(r)) {
                return 1;
            }
            conn->flags &= (uint16_t)~GW_CONN_WRITABLE;
            gw_reactor_push_event(r, conn->id, GW_EVENT_WRITABLE, 0);
        }
        switch (conn->phase) {
        case GW_PHASE_HANDSHAKE:
        case GW_PHASE_OPEN:
        case GW_PHASE_CLOSING:
            if (gw_inbound_decode(r, conn)) {
                return 1;
            }
            if (conn->phase > GW_PHASE_CLOSING) {
                break;
            }
            if (!(conn->flags & GW_CONN_PEER_ENDED) || !gw_inbound_is_empty(conn)) {
                return 0;
            }
            gw_conn_end(r, conn);
            break;
        case GW_PHASE_LINGERING:
            if (conn->flags & GW_CONN_PEER_ENDED) {
                gw_conn_end(r, conn);
                break;
            }
            return 0;
        case GW_PHASE_FLUSHING:
        case GW_PHASE_REFUSING:
            gw_inbound_drop(r, conn);
            gw_inbound_unmute(r, conn);
            return 0;
        case GW_PHASE_ENDED:
            return gw_conn_release(r, conn);
        default:
            return 0;
        }
    }
}

// What the backend reports.

// A stranger of an address that has very many gives up its place.
static void gw_conn_displace(struct gw_reactor *r, struct gw_conn *conn) {
    r->stats.peers_displaced++;
    gw_gathering_trust(r, conn);
    gw_peers_leave(&r->peers, conn->slot);
    gw_conn_end(r, conn);
}

// Whether a newcomer may stay. Strangers have no more places than they may have, and never the last: whoever comes next
// needs one to come to.
static int gw_conn_admit(struct gw_reactor *r, uint32_t slot, uint64_t peer) {
    const uint64_t connections = r->stats.accepted - r->stats.closed;
    const int has_last = connections > 1 && connections == r->connections_max;
    if (peer != 0 && r->untrusted_max != 0 && (r->peers.total >= r->untrusted_max || has_last)) {
        const uint32_t displaced = gw_peers_displaced_by(&r->peers, peer);
        if (displaced == GW_PEERS_NOBODY || !gw_peers_has_room(&r->peers, peer)) {
            return 0;
        }
        gw_conn_displace(r, &r->conns[displaced]);
    }
    return gw_peers_enter(&r->peers, slot, peer);
}

void gw_conn_accepted(struct gw_reactor *r, struct gw_conn *conn, uint64_t peer) {
    const uint32_t slot = (uint32_t)(conn - r->conns);
    // The slot's former owner may still be in a list; being handled there does no harm.
    *conn = (struct gw_conn){
        .slot = slot, .generation = conn->generation != 0 ? conn->generation : 1,
        .flags = conn->flags & (GW_CONN_READY | GW_CONN_DIRTY),
        .input_first = GW_NO_BUFFER, .input_last = GW_NO_BUFFER,
        .active_tick = r->now,
    };
    gw_timer_init(&conn->timer);
    if (r->slots_touched <= slot) {
        r->slots_touched = slot + 1;
    }
    r->stats.accepted++;
    if (!gw_conn_admit(r, slot, peer)) {
        r->stats.peers_refused++;
        conn->phase = GW_PHASE_RELEASED;
        gw_io_close(r->io, slot);
        return;
    }
    gw_conn_enter(r, conn, GW_PHASE_HANDSHAKE);
    gw_io_receive_start(r->io, slot);
}

void gw_conn_input_ended(struct gw_reactor *r, struct gw_conn *conn) {
    conn->flags |= GW_CONN_PEER_ENDED;
    gw_reactor_make_ready(r, conn);
}

// Nothing is queued any more.
static void gw_conn_drained(struct gw_reactor *r, struct gw_conn *conn) {
    if (conn->phase == GW_PHASE_FLUSHING) {
        gw_conn_end(r, conn);
    } else if (conn->phase == GW_PHASE_REFUSING) {
        conn->phase = GW_PHASE_LINGERING;
        gw_io_shutdown(r->io, conn->slot);
        gw_reactor_make_ready(r, conn);
    }
}

// Everyday: all that was queued has left, in one buffer, and nothing waits for that. Else nothing is done.
static int gw_conn_sent_whole(struct gw_reactor *r, struct gw_conn *conn, int32_t result) {
    const uint32_t others = GW_PHASE_MASK | GW_CONN_PAUSED | GW_CONN_WANTS_WRITABLE;
    if ((conn->state & (others | GW_CONN_SENDING)) != GW_CONN_SENDING || conn->out.pong != NULL || result <= 0
        || !gw_outbound_consume_only(&conn->out, &r->references, (uint32_t)result)) {
        return 0;
    }
    conn->flags &= (uint16_t)~GW_CONN_SENDING;
    r->stats.bytes_out += (uint32_t)result;
    return 1;
}

void gw_conn_sent(struct gw_reactor *r, struct gw_conn *conn, int32_t result) {
    if (gw_conn_sent_whole(r, conn, result)) {
        return;
    }
    assert(conn->flags & GW_CONN_SENDING);   // a send is told once
    conn->flags &= (uint16_t)~GW_CONN_SENDING;
    if (conn->phase >= GW_PHASE_ENDED) {
        return;
    }
    if (result < 0) {
        gw_conn_end(r, conn);
        return;
    }
    r->stats.bytes_out += (uint32_t)result;
    gw_outbound_consume(&conn->out, &r->references, (uint32_t)result);
    if ((conn->flags & GW_CONN_PAUSED) && conn->out.bytes <= r->outbound_resume) {
        gw_conn_resume(r, conn);
    }
    if ((conn->flags & GW_CONN_WANTS_WRITABLE) && conn->out.bytes <= r->outbound_pause) {
        conn->flags = (uint16_t)((conn->flags & ~(GW_CONN_WANTS_WRITABLE | GW_CONN_STARVED)) | GW_CONN_WRITABLE);
        gw_reactor_make_ready(r, conn);
    }
    if (conn->out.bytes > 0 || conn->out.pong != NULL) {
        gw_reactor_make_dirty(r, conn);
    } else {
        gw_conn_drained(r, conn);
    }
}

static void gw_conn_put_back(struct gw_reactor *r, struct gw_conn *conn, const uint8_t *data, uint32_t bytes) {
    r->stats.bytes_out -= bytes;
    if (conn->phase >= GW_PHASE_ENDED) {
        return;
    }
    assert(!(conn->flags & GW_CONN_SENDING));
    if (gw_outbound_put_back(&conn->out, &r->references, data, bytes) != 0) {
        conn->close_code = conn->close_code != 0 ? conn->close_code : GW_CLOSE_TRY_AGAIN;
        gw_conn_end(r, conn);
        return;
    }
    gw_reactor_make_dirty(r, conn);
}

__attribute__((noinline))
void gw_conn_recall(struct gw_reactor *r, struct gw_conn *conn) {
    struct io_uring_sqe *request = gw_uring_find_short(r->front, conn->slot, conn->request);
    if (request != NULL) {
        gw_writer_end(r);
        const uint8_t *data = (const uint8_t *)(uintptr_t)request->addr;
        const uint32_t bytes = request->len;
        gw_uring_recall(request);
        gw_conn_put_back(r, conn, data, bytes);
    }
}

void gw_conn_unsent(struct gw_reactor *r, struct gw_conn *conn, const uint8_t *chunk, int32_t result) {
    const uint32_t bytes = conn->chunk_bytes, taken = result > 0 ? (uint32_t)result : 0;
    assert(taken <= bytes);
    if (result < 0 && result != -EAGAIN && conn->phase < GW_PHASE_ENDED) {
        gw_conn_end(r, conn);
    }
    gw_conn_put_back(r, conn, chunk + taken, bytes - taken);
}

__attribute__((noinline))
static void gw_conn_send_several(struct gw_reactor *r, const struct gw_conn *conn) {
    struct iovec iov[GW_IO_IOV_MAX];
    const unsigned count = gw_outbound_peek(&conn->out, iov, GW_IO_IOV_MAX);
    gw_io_send(r->io, conn->slot, iov, count);
}

void gw_conn_flush(struct gw_reactor *r, struct gw_conn *conn) {
    conn->flags &= (uint16_t)~GW_CONN_DIRTY;
    if (conn->phase >= GW_PHASE_ENDED) {
        return;
    }
    if (conn->out.pong != NULL && conn->out.bytes < r->outbound_bytes_max && conn->phase == GW_PHASE_OPEN) {
        gw_outbound_queue_pong(&conn->out);
    }
    if (conn->out.bytes == 0) {
        gw_conn_drained(r, conn);
        return;
    }
    const struct gw_buf *first = conn->out.first;
    if (first->next == NULL) {
        const struct iovec only = { first->data + first->start + conn->out.offset, conn->out.bytes };
        gw_io_send(r->io, conn->slot, &only, 1);
    } else {
        gw_conn_send_several(r, conn);
    }
    conn->flags |= GW_CONN_SENDING;
    conn->progress_tick = r->now;
    gw_conn_arm(r, conn, r->now + r->stall_ticks);
}

void gw_conn_released(struct gw_reactor *r, struct gw_conn *conn) {
    // The next connection of the slot begins its timer anew, which would tear the wheel's list.
    assert(!gw_timer_is_armed(&conn->timer));
    gw_outbound_clear(&conn->out, &r->references);
    gw_peers_leave(&r->peers, conn->slot);
    conn->flags &= GW_CONN_READY | GW_CONN_DIRTY;
    conn->phase = GW_PHASE_FREE;
    r->stats.closed++;
}
