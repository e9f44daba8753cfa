// From receive buffers to events: the request first, then frames. Payloads stay where they were received;
// a buffer whose bytes are all decoded is spent and goes back to the kernel when the next turn begins.
//
// A connection's messages wait while its own outbound queue is half full, counting what this turn has already
// handed out, as if all of it were answered in kind: an echo loses no message.
//
// Owner and thread: the connection's reactor's.
#include <string.h>

#include "gw_everyday.h"
#include "gw_reactor.h"

enum { GW_PONG_QUEUE_BYTES = 4096 };   // with more than this queued only the latest ping is answered

static void gw_inbound_pop(struct gw_reactor *r, struct gw_conn *conn) {
    const uint32_t buffer = conn->input_first;
    conn->input_first = (uint16_t)r->received[buffer].next;
    gw_reactor_spend(r, buffer);
}

static void gw_inbound_pop_held(struct gw_reactor *r, struct gw_conn *conn) {
    struct gw_buf *buf = conn->held;
    conn->held = buf->next;
    gw_reactor_spend_buf(r, buf);
}

void gw_inbound_drop(struct gw_reactor *r, struct gw_conn *conn) {
    while (conn->held != NULL) {
        gw_inbound_pop_held(r, conn);
    }
    while (conn->input_first != GW_NO_BUFFER) {
        gw_inbound_pop(r, conn);
    }
}

void gw_inbound_unmute(struct gw_reactor *r, struct gw_conn *conn) {
    if ((conn->flags & (GW_CONN_MUTED | GW_CONN_PEER_ENDED)) == GW_CONN_MUTED) {
        conn->flags &= (uint16_t)~GW_CONN_MUTED;
        gw_io_receive_start(r->io, conn->slot);
    }
}

void gw_inbound_hold(struct gw_reactor *r, struct gw_conn *conn) {
    struct gw_buf **last = &conn->held;
    while (*last != NULL) {
        last = &(*last)->next;
    }
    while (conn->input_first != GW_NO_BUFFER) {
        const struct gw_received *received = &r->received[conn->input_first];
        const uint32_t length = received->end - received->start;
        struct gw_buf *buf = gw_buf_acquire(r->pool, length);
        if (buf == NULL) {
            gw_conn_fail(r, conn, GW_CLOSE_TRY_AGAIN);
            return;
        }
        memcpy(buf->data, gw_received_data(r, conn->input_first) + received->start, length);
        buf->end = length;
        *last = buf;
        last = &buf->next;
        gw_inbound_pop(r, conn);
    }
}

// The request, whole in [data, data + consumed); buf is its buffer if it had to be gathered.
static void gw_inbound_accept(struct gw_reactor *r, struct gw_conn *conn, struct gw_handshake *handshake,
                              struct gw_buf *buf) {
    char response[GW_RESPONSE_BYTES_MAX];
    if (handshake->deflate.agreed) {
        gw_compression_open(r, conn, &handshake->deflate);
        conn->decoder.deflate = 1;
    }
    const size_t length = gw_handshake_respond(&r->policy, handshake, response);
    if (gw_outbound_append_bytes(&conn->out, &r->references, response, (uint32_t)length) != 0) {
        gw_conn_end(r, conn);
        return;
    }
    gw_conn_open(r, conn);
    conn->decoder.deflate = handshake->deflate.agreed;
    struct gw_event *event = gw_reactor_push_event(r, conn->id, GW_EVENT_OPENED, 0);
    event->subprotocol = handshake->subprotocol >= 0 ? (uint8_t)handshake->subprotocol : GW_NO_SUBPROTOCOL;
    event->data = (const uint8_t *)handshake->authorization.data;
    event->length = handshake->authorization.length;
    if (buf != NULL) {
        conn->message.gathered = NULL;
        gw_reactor_lie_in(r, event, buf);
        gw_reactor_spend_buf(r, buf);
    }
}

static void gw_inbound_refuse(struct gw_reactor *r, struct gw_conn *conn, const struct gw_handshake *handshake) {
    char response[GW_RESPONSE_BYTES_MAX];
    const size_t length = gw_handshake_respond(&r->policy, handshake, response);
    gw_message_deinit(&conn->message, r->pool);
    if (gw_outbound_append_bytes(&conn->out, &r->references, response, (uint32_t)length) != 0) {
        gw_conn_end(r, conn);
        return;
    }
    gw_conn_refuse(r, conn);
}

// Appends a piece of the request to what has been gathered; 0 when no buffer is free.
static int gw_inbound_gather(struct gw_reactor *r, struct gw_conn *conn, const uint8_t *piece, uint32_t length) {
    struct gw_buf *buf = conn->message.gathered;
    const uint32_t total = (buf != NULL ? gw_buf_length(buf) : 0) + length;
    if (buf == NULL || gw_buf_room(buf) < length) {
        struct gw_buf *larger = gw_buf_acquire(r->pool, total);
        if (larger == NULL) {
            return 0;
        }
        if (buf != NULL) {
            memcpy(larger->data, buf->data, buf->end);
            larger->end = buf->end;
            gw_buf_release(r->pool, buf);
        }
        buf = conn->message.gathered = larger;
    }
    memcpy(buf->data + buf->end, piece, length);
    buf->end += length;
    return 1;
}

// Looks at the first receive buffer of a connection that still shakes hands. A request that lies whole in it
// is parsed there; any other is gathered, and parsed again only when a line or the bound has been reached.
static void gw_inbound_request(struct gw_reactor *r, struct gw_conn *conn) {
    struct gw_received *received = &r->received[conn->input_first];
    const uint8_t *piece = gw_received_data(r, conn->input_first) + received->start;
    uint32_t length = received->end - received->start;
    struct gw_buf *buf = conn->message.gathered;
    const uint32_t before = buf != NULL ? gw_buf_length(buf) : 0;
    struct gw_handshake handshake = { .subprotocol = -1 };
    const uint8_t *request = piece;
    uint32_t request_bytes = length;
    size_t consumed = 0;
    enum gw_parse parse = GW_PARSE_MORE;
    if (buf != NULL) {
        length = length < GW_REQUEST_BYTES_MAX - before ? length : GW_REQUEST_BYTES_MAX - before;
        if (!gw_inbound_gather(r, conn, piece, length)) {
            gw_conn_end(r, conn);
            return;
        }
        buf = conn->message.gathered;
        request = buf->data;
        request_bytes = gw_buf_length(buf);
    }
    if (buf == NULL || request_bytes == GW_REQUEST_BYTES_MAX || memchr(piece, '\n', length) != NULL) {
        parse = gw_handshake_parse(&r->policy, request, request_bytes, &handshake, &consumed);
    }
    switch (parse) {
    case GW_PARSE_DONE:
        received->start += (uint32_t)consumed - before;
        gw_inbound_accept(r, conn, &handshake, buf);
        return;
    case GW_PARSE_ERROR:
        gw_inbound_refuse(r, conn, &handshake);
        return;
    case GW_PARSE_MORE:
        if (request_bytes >= GW_REQUEST_BYTES_MAX) {
            handshake.status = 431;
            gw_inbound_refuse(r, conn, &handshake);
        } else if (buf == NULL && !gw_inbound_gather(r, conn, piece, length)) {
            gw_conn_end(r, conn);
        } else {
            gw_inbound_pop(r, conn);
        }
        return;
    }
}

__attribute__((noinline))
static void gw_inbound_goes_on(struct gw_reactor *r, struct gw_conn *conn) {
    if (!gw_gathering_hold(r, conn, conn->message.gathered->capacity)) {
        gw_conn_fail(r, conn, GW_CLOSE_TRY_AGAIN);
    }
}

// Adds a piece to its message and hands that out once it is whole; returns what answering it in kind would queue.
// source is the pool buffer the piece lies in, NULL for a receive buffer.
static uint32_t gw_inbound_piece(struct gw_reactor *r, struct gw_conn *conn, const struct gw_ws_item *item,
                                 struct gw_buf *source) {
    if (conn->phase != GW_PHASE_OPEN) {
        return 0;
    }
    uint8_t *data;
    uint64_t length;
    struct gw_buf *buf;
    switch (gw_message_add(&conn->message, r->pool, item, &data, &length, &buf)) {
    case GW_MESSAGE_MORE:
        gw_inbound_goes_on(r, conn);
        return 0;
    case GW_MESSAGE_NOBUFS:
        gw_conn_fail(r, conn, GW_CLOSE_TRY_AGAIN);
        return 0;
    case GW_MESSAGE_WHOLE:
        break;
    }
    struct gw_event *event = gw_reactor_push_event(r, conn->id, GW_EVENT_MESSAGE, item->opcode);
    event->data = data;
    event->length = length;
    if (buf != NULL) {
        gw_reactor_lie_in(r, event, buf);
        gw_reactor_spend_buf(r, buf);
        gw_gathering_end(r, conn);
    } else if (source != NULL) {
        gw_reactor_lie_in(r, event, source);
    }
    r->stats.messages_in++;
    return (uint32_t)length + GW_WS_SERVER_HEADER_BYTES_MAX;
}

static void gw_inbound_ping(struct gw_reactor *r, struct gw_conn *conn, const struct gw_ws_item *item) {
    const uint32_t length = (uint32_t)item->length;
    // A held pong would be overtaken by one that is queued.
    if (conn->out.bytes > GW_PONG_QUEUE_BYTES || conn->out.bytes >= r->outbound_pause || conn->out.pong != NULL
        || gw_outbound_append_frame(&conn->out, &r->references, GW_WS_PONG, item->data, length) != 0) {
        gw_outbound_hold_pong(&conn->out, &r->references, item->data, length);
    }
    gw_reactor_make_dirty(r, conn);
}

static void gw_inbound_control(struct gw_reactor *r, struct gw_conn *conn, const struct gw_ws_item *item) {
    if (item->opcode == GW_WS_CLOSE) {
        gw_conn_answer_close(r, conn, item->close_code);
    } else if (item->opcode == GW_WS_PING && conn->phase == GW_PHASE_OPEN) {
        gw_inbound_ping(r, conn, item);
    }
}

// The queue is half full. When that is only what this turn may bring, the next one sees what it did bring.
static int gw_inbound_wait(struct gw_reactor *r, struct gw_conn *conn) {
    if (conn->out.bytes < r->outbound_pause) {
        return 1;
    }
    conn->flags |= GW_CONN_PAUSED | GW_CONN_MUTED;
    gw_io_receive_pause(r->io, conn->slot);
    gw_inbound_hold(r, conn);
    return 0;
}

void gw_inbound_enqueue(struct gw_reactor *r, struct gw_conn *conn, uint32_t buffer, uint32_t start,
                               uint32_t end) {
    if (conn->phase > GW_PHASE_CLOSING) {
        gw_reactor_spend(r, buffer);
        return;
    }
    struct gw_received *received = &r->received[buffer];
    received->next = GW_NO_BUFFER;
    received->start = start;
    received->end = end;
    if (conn->input_first == GW_NO_BUFFER) {
        conn->input_first = (uint16_t)buffer;
    } else {
        r->received[conn->input_last].next = buffer;
    }
    conn->input_last = (uint16_t)buffer;
    conn->active_tick = r->now;
    if (conn->flags & GW_CONN_PAUSED) {
        gw_inbound_hold(r, conn);
    } else {
        gw_reactor_make_ready(r, conn);
    }
}

void gw_inbound_received(struct gw_reactor *r, struct gw_conn *conn, uint32_t buffer, uint32_t bytes) {
    uint8_t *const data = gw_received_data(r, buffer), *const end = data + bytes;
    uint8_t *const next = gw_inbound_is_calm(r, conn) ? gw_inbound_take_first(r, conn, data, end) : NULL;
    if (next == end) {
        gw_inbound_taken(r, conn, buffer, bytes);
    } else {
        gw_inbound_behind(r, conn, buffer, next, bytes);
    }
}

// Hands out the short whole messages that [at, end) of the receive buffer at data begins with; the decoder is between
// messages. Returns where they end.
__attribute__((always_inline))
static inline uint8_t *gw_inbound_run_short(struct gw_reactor *r, const struct gw_conn *conn, uint8_t *at, uint8_t *data,
                                            const uint8_t *end) {
    const uint8_t *reach = data + r->io->receive_buffer_bytes - GW_WS_SHORT_REACH_BYTES;
    const struct gw_event *event_end = r->short_end;
    struct gw_event *event = r->event;
    const gw_conn_id id = conn->id;
    while (event < event_end && at <= reach) {
        uint8_t *next = gw_inbound_take(event, &id, at, end);
        if (next == NULL) {
            break;
        }
        event++;
        at = next;
    }
    r->event = event;
    return at;
}

// The same for those that are not short, and no more of them than one connection might answer in kind.
__attribute__((always_inline))
static inline uint8_t *gw_inbound_run_longer(struct gw_reactor *r, const struct gw_conn *conn, uint8_t *at,
                                             const uint8_t *end) {
    const uint64_t bytes_max = r->codec.message_bytes_max;
    struct gw_ws_short message;
    while (r->event < r->short_end
           && gw_ws_take_longer(at, end, r->longer_left < bytes_max ? r->longer_left : bytes_max, &message)) {
        r->longer_left -= (uint32_t)message.bytes;
        *r->event++ = (struct gw_event){ .conn = conn->id, .kind = GW_EVENT_MESSAGE, .opcode = at[0] & 0x0F,
                                         .data = message.text, .length = message.bytes };
        at = message.text + message.bytes;
    }
    return at;
}

// Both, in whatever order they come; no short one is the first.
__attribute__((always_inline))
static inline uint8_t *gw_inbound_run(struct gw_reactor *r, const struct gw_conn *conn, uint8_t *at, uint8_t *data,
                                      const uint8_t *end) {
    const uint8_t *before;
    do {
        before = at;
        at = gw_inbound_run_longer(r, conn, at, end);
        at = at != before && at != end ? gw_inbound_run_short(r, conn, at, data, end) : at;
    } while (at != before && at != end);
    return at;
}

void gw_inbound_longer(struct gw_reactor *r, struct gw_conn *conn, uint32_t buffer, uint8_t *at, uint32_t bytes) {
    uint8_t *const data = gw_received_data(r, buffer), *const end = data + bytes;
    at = gw_inbound_run(r, conn, at, data, end);
    if (at != data) {
        conn->short_turn = (uint16_t)r->stats.turns;
    }
    if (at == end) {
        gw_inbound_taken(r, conn, buffer, bytes);
    } else {
        r->stats.bytes_in += bytes;
        gw_inbound_enqueue(r, conn, buffer, (uint32_t)(at - data), bytes);
    }
}

void gw_inbound_go_on(struct gw_reactor *r, struct gw_conn *conn, uint32_t buffer, uint8_t *next, uint32_t bytes) {
    uint8_t *const data = gw_received_data(r, buffer), *const end = data + bytes;
    uint8_t *const at = gw_inbound_run_short(r, conn, next, data, end);
    if (at == end) {
        gw_inbound_taken(r, conn, buffer, bytes);
    } else {
        gw_inbound_longer(r, conn, buffer, at, bytes);
    }
}

enum gw_progress { GW_CONSUMED, GW_STOPPED, GW_LATER };

// Decodes data[*start, end) and moves *start. CONSUMED: all of it. STOPPED: the connection takes no more now.
// LATER: the turn does not.
static inline enum gw_progress gw_inbound_frames(struct gw_reactor *r, struct gw_conn *conn, uint8_t *data,
                                                 uint32_t *start, uint32_t end, struct gw_buf *source,
                                                 uint32_t *queued) {
    enum gw_progress progress = GW_CONSUMED;
    uint32_t at = *start, sum = *queued;
    if (source == NULL && conn->phase == GW_PHASE_OPEN && sum < r->outbound_pause
        && gw_ws_is_between_messages(&conn->decoder)) {
        const struct gw_event *first = r->event;
        uint8_t *const rest = gw_inbound_run_short(r, conn, data + at, data, data + end);
        at = (uint32_t)(gw_inbound_run(r, conn, rest, data, data + end) - data);
        r->stats.messages_in += (uint64_t)(r->event - first);
        // As below, frame by frame: what a masked header is longer than an answer's.
        sum += at - *start + (uint32_t)(r->event - first) * (GW_WS_SERVER_HEADER_BYTES_MAX - GW_WS_SHORT_HEADER_BYTES);
    }
    while (at < end) {
        if (!gw_reactor_has_room(r)) {
            progress = GW_LATER;
            break;
        }
        if (sum >= r->outbound_pause && conn->phase == GW_PHASE_OPEN) {
            *start = at;
            return gw_inbound_wait(r, conn) ? GW_LATER : GW_STOPPED;
        }
        struct gw_ws_item item;
        size_t consumed;
        const enum gw_ws_result result = gw_ws_decode(&conn->decoder, &r->codec, data + at, end - at, &consumed, &item);
        if (result == GW_WS_ERROR && sum != conn->out.bytes) {
            // The messages before it can still be answered; the decoder will say the same in the next turn.
            progress = GW_LATER;
            break;
        }
        at += (uint32_t)consumed;
        if (result == GW_WS_DATA) {
            sum += gw_inbound_piece(r, conn, &item, source);
        } else if (result == GW_WS_DEFLATED) {
            sum += gw_compression_piece(r, conn, &item);
        } else if (result == GW_WS_CONTROL) {
            gw_inbound_control(r, conn, &item);
            sum += (uint32_t)item.length + GW_WS_SERVER_HEADER_BYTES_MAX;
        } else if (result == GW_WS_ERROR) {
            gw_conn_fail(r, conn, item.close_code);
        }
        if (conn->phase > GW_PHASE_CLOSING) {
            progress = GW_STOPPED;
            break;
        }
    }
    *start = at;
    *queued = sum;
    return progress;
}

int gw_inbound_decode(struct gw_reactor *r, struct gw_conn *conn) {
    uint32_t queued = conn->out.bytes;
    while (conn->phase == GW_PHASE_HANDSHAKE && conn->input_first != GW_NO_BUFFER) {
        if (!gw_reactor_has_room(r)) {
            return 1;
        }
        gw_inbound_request(r, conn);
    }
    if (conn->phase == GW_PHASE_OPEN && conn->short_turn == (uint16_t)r->stats.turns && !gw_inbound_is_empty(conn)) {
        return 1;
    }
    while (conn->phase <= GW_PHASE_CLOSING && !gw_inbound_is_empty(conn)) {
        struct gw_buf *held = conn->held;
        uint32_t *start, end;
        uint8_t *data;
        if (held == NULL) {
            struct gw_received *received = &r->received[conn->input_first];
            data = gw_received_data(r, conn->input_first);
            start = &received->start;
            end = received->end;
        } else {
            data = held->data;
            start = &held->start;
            end = held->end;
        }
        const enum gw_progress progress = gw_inbound_frames(r, conn, data, start, end, held, &queued);
        if (progress != GW_CONSUMED) {
            return progress == GW_LATER;
        }
        if (held != NULL) {
            gw_inbound_pop_held(r, conn);
        } else {
            gw_inbound_pop(r, conn);
        }
    }
    if (gw_inbound_is_empty(conn)) {
        gw_inbound_unmute(r, conn);
    }
    return 0;
}
