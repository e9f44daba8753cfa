// The simulated backend; see sim.h.
#include "sim.h"

#include <errno.h>

static struct sim_io *sim_of(struct gw_io *io) { return (struct sim_io *)io; }

static int sim_happens(struct sim_io *sim, uint32_t percent) { return sim_below(&sim->random, 100) < percent; }

// Pipes.

static uint32_t sim_pipe_length(const struct sim_pipe *pipe) { return pipe->end - pipe->start; }

static uint32_t sim_pipe_write(struct sim_pipe *pipe, const uint8_t *bytes, uint32_t length, uint32_t bound) {
    const uint32_t held = sim_pipe_length(pipe);
    const uint32_t room = bound > held ? bound - held : 0;
    const uint32_t taken = length < room ? length : room;
    memmove(pipe->bytes, pipe->bytes + pipe->start, held);
    memcpy(pipe->bytes + held, bytes, taken);
    pipe->start = 0;
    pipe->end = held + taken;
    return taken;
}

static uint32_t sim_pipe_read(struct sim_pipe *pipe, uint8_t *bytes, uint32_t room) {
    const uint32_t held = sim_pipe_length(pipe), taken = held < room ? held : room;
    memcpy(bytes, pipe->bytes + pipe->start, taken);
    pipe->start += taken;
    return taken;
}

// The clients' end.

uint32_t sim_connect(struct sim_io *sim, uint32_t window, uint32_t peer) {
    for (uint32_t w = 0; w < SIM_WIRES; w++) {
        struct sim_wire *wire = &sim->wires[w];
        if (!wire->used) {
            wire->to_server.start = wire->to_server.end = wire->to_client.start = wire->to_client.end = 0;
            wire->window = window;
            wire->peer = peer;
            wire->used = 1;
            wire->accepted = wire->client_ended = wire->client_gone = wire->reset = 0;
            wire->server_ended = wire->server_gone = 0;
            return w;
        }
    }
    return SIM_NONE;
}

uint32_t sim_client_write(struct sim_io *sim, uint32_t w, const uint8_t *bytes, uint32_t length) {
    struct sim_wire *wire = &sim->wires[w];
    CHECK(wire->used && !wire->client_ended);
    if (wire->server_gone || wire->reset) {
        return length;
    }
    return sim_pipe_write(&wire->to_server, bytes, length, SIM_PIPE_BYTES);
}

int32_t sim_client_read(struct sim_io *sim, uint32_t w, uint8_t *bytes, uint32_t room) {
    struct sim_wire *wire = &sim->wires[w];
    CHECK(wire->used && !wire->client_gone);
    if (wire->reset) {
        return -1;
    }
    const uint32_t taken = sim_pipe_read(&wire->to_client, bytes, room);
    return taken == 0 && wire->server_ended ? -1 : (int32_t)taken;
}

void sim_client_end(struct sim_io *sim, uint32_t w) { sim->wires[w].client_ended = 1; }

void sim_client_reset(struct sim_io *sim, uint32_t w) { sim->wires[w].reset = 1; }

static void sim_wire_forget(struct sim_wire *wire) {
    if (wire->client_gone && (wire->server_gone || !wire->accepted)) {
        wire->used = 0;
    }
}

void sim_release(struct sim_io *sim, uint32_t w) {
    sim->wires[w].client_ended = sim->wires[w].client_gone = 1;
    sim_wire_forget(&sim->wires[w]);
}

// Requests: each is checked against what the interface allows, and noted down.

static struct sim_socket *sim_open_socket(struct gw_io *io, uint32_t socket) {
    struct sim_io *sim = sim_of(io);
    CHECK(socket < sim->sockets_max && sim->sockets[socket].used && !sim->sockets[socket].closing);
    return &sim->sockets[socket];
}

// The rings.

static void sim_complete_ring(struct sim_io *sim, uint64_t data, int32_t result, uint32_t flags) {
    CHECK(sim->completions_tail - sim->completions_head < SIM_COMPLETIONS);
    sim->completions[sim->completions_tail++ % SIM_COMPLETIONS] =
        (struct io_uring_cqe){ .user_data = data, .res = result, .flags = flags };
}

// All, a part or nothing leaves now, or it fails: only the first says nothing.
static void sim_send_short(struct sim_io *sim, const struct io_uring_sqe *request) {
    const uint32_t socket = (uint32_t)request->fd;
    struct sim_socket *s = &sim->sockets[socket];
    CHECK(socket < sim->sockets_max && s->used && !s->sending && !s->shut && request->len > 0);
    CHECK(request->flags == (IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS));
    CHECK(request->msg_flags == (MSG_NOSIGNAL | MSG_DONTWAIT | MSG_WAITALL));
    struct sim_wire *wire = &sim->wires[s->wire];
    if (sim_below(&sim->random, 1000) < sim->send_fails_in_1000) {
        wire->reset = 1;
    }
    int32_t result = -ECONNRESET;
    if (!wire->reset) {
        const uint32_t most = sim_happens(sim, 70) ? request->len : sim_below(&sim->random, request->len + 1);
        const uint8_t *bytes = (const uint8_t *)(uintptr_t)request->addr;
        result = (int32_t)(wire->client_gone ? most : sim_pipe_write(&wire->to_client, bytes, most, wire->window));
    }
    sim->short_sends++;
    if (result != (int32_t)request->len) {
        sim->short_sends_refused++;
        sim_complete_ring(sim, request->user_data, result == 0 ? -EAGAIN : result, 0);
    }
}

// What the ring holds, or a part of it. From here on the memory of a request is anybody's.
static void sim_submit(struct sim_io *sim, unsigned most) {
    gw_uring_close_row(&sim->front);
    for (; sim->requests_taken != sim->requests_tail && most > 0; most--) {
        struct io_uring_sqe *request = &sim->requests[sim->requests_taken++ % SIM_REQUESTS];
        if (request->opcode == IORING_OP_NOP) {
            CHECK(gw_request_kind(request->user_data) == GW_QUIET && request->flags == IOSQE_CQE_SKIP_SUCCESS);
            sim->recalled++;
        } else {
            CHECK(request->opcode == IORING_OP_SEND);
            sim_send_short(sim, request);
        }
        *request = (struct io_uring_sqe){ .opcode = IORING_OP_NOP };
    }
}

// Any request of another kind may find the ring full.
static void sim_submit_early(struct sim_io *sim) {
    if (sim->front.row_open && sim_happens(sim, 10)) {
        sim_submit(sim, SIM_REQUESTS);
    }
}

static int sim_listen(struct gw_io *io, const char *address, uint16_t port, int shared) {
    (void)address;
    (void)shared;
    sim_of(io)->listening = 1;
    return port != 0 ? port : 1;
}

static void sim_stop_listening(struct gw_io *io) { sim_of(io)->listening = 0; }

static void sim_accept_resume(struct gw_io *io) {
    CHECK(sim_of(io)->resting);
    sim_of(io)->resting = 0;
}

static void sim_receive_start(struct gw_io *io, uint32_t socket) {
    struct sim_socket *s = sim_open_socket(io, socket);
    CHECK(!s->ended);
    s->wanted = 1;
    sim_submit_early(sim_of(io));
}

static void sim_receive_pause(struct gw_io *io, uint32_t socket) {
    struct sim_socket *s = sim_open_socket(io, socket);
    s->in_flight = s->wanted;
    s->wanted = 0;
    sim_submit_early(sim_of(io));
}

static void sim_buffers_return(struct gw_io *io, const uint32_t *buffers, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        CHECK(buffers[i] < io->receive_buffers && sim_of(io)->buffer_lent[buffers[i]] == 1);
        sim_of(io)->buffer_lent[buffers[i]] = 0;
        // Whoever still reads it reads nonsense.
        memset(io->receive_memory + (size_t)buffers[i] * io->receive_buffer_bytes, 0xdd, io->receive_buffer_bytes);
    }
}

static uint64_t sim_send_hash(const struct sim_socket *s) {
    uint64_t hash = 14695981039346656037u;
    for (uint32_t i = 0; i < s->iov_count; i++) {
        const uint8_t *bytes = s->iov[i].iov_base;
        for (size_t at = 0; at < s->iov[i].iov_len; at++) {
            hash = (hash ^ bytes[at]) * 1099511628211u;
        }
    }
    return hash;
}

static void sim_send(struct gw_io *io, uint32_t socket, const struct iovec *iov, unsigned count) {
    struct sim_socket *s = sim_open_socket(io, socket);
    CHECK(count >= 1 && count <= GW_IO_IOV_MAX && !s->sending && !s->shut);
    // What it would overtake has left, and has been told if it could not.
    struct sim_io *sim = sim_of(io);
    gw_uring_end_row(&sim->front);
    for (unsigned at = sim->requests_taken; at != sim->requests_tail; at++) {
        const struct io_uring_sqe *request = &sim->requests[at % SIM_REQUESTS];
        CHECK(request->opcode == IORING_OP_NOP || (uint32_t)request->fd != socket);
    }
    for (unsigned at = sim->completions_head; at != sim->completions_tail; at++) {
        const uint64_t data = sim->completions[at % SIM_COMPLETIONS].user_data;
        CHECK(gw_request_kind(data) != GW_SEND_SHORT || gw_request_socket(data) != socket);
    }
    gw_uring_begin_row(&sim->front);
    sim_submit_early(sim);
    for (unsigned i = 0; i < count; i++) {
        CHECK(iov[i].iov_len > 0);
        s->iov[i] = iov[i];
    }
    s->iov_count = count;
    s->send_hash = sim_send_hash(s);
    s->sending = 1;
}

static void sim_shutdown(struct gw_io *io, uint32_t socket) {
    struct sim_socket *s = sim_open_socket(io, socket);
    CHECK(!s->sending);
    sim_submit_early(sim_of(io));
    s->shut = 1;
    sim_of(io)->wires[s->wire].server_ended = 1;
}

static void sim_close(struct gw_io *io, uint32_t socket) {
    struct sim_io *sim = sim_of(io);
    struct sim_socket *s = sim_open_socket(io, socket);
    sim_submit_early(sim);
    s->closing = 1;
    sim->closed_while_sending += s->sending;
    // The receive under way may have its buffer already.
    for (uint32_t b = 0; s->wanted && b < io->receive_buffers && sim_happens(sim, 50); b++) {
        if (!sim->buffer_lent[b]) {
            sim->buffer_lent[b] = 2;
            s->late_buffer = b;
            break;
        }
    }
}

static void sim_wake(struct gw_io *io) { sim_of(io)->woken = 1; }
static uint64_t sim_now_ms(struct gw_io *io) { return sim_of(io)->now_ms; }
static void sim_read_stats(const struct gw_io *io, struct gw_io_stats *stats) {
    *stats = ((const struct sim_io *)io)->stats;
}

// Completions. Each writes at most one event and returns their number.

// Moves at most most bytes of the send into the wire; 0: there is no room.
static uint32_t sim_transmit(struct sim_io *sim, struct sim_socket *s, uint32_t most) {
    struct sim_wire *wire = &sim->wires[s->wire];
    CHECK(sim_send_hash(s) == s->send_hash);
    uint32_t sent = 0;
    for (uint32_t i = 0; i < s->iov_count && sent < most; i++) {
        const uint32_t left = most - sent;
        const uint32_t piece = s->iov[i].iov_len < left ? (uint32_t)s->iov[i].iov_len : left;
        const uint32_t taken = wire->client_gone
            ? piece : sim_pipe_write(&wire->to_client, s->iov[i].iov_base, piece, wire->window);
        sent += taken;
        if (taken < piece) {
            break;
        }
    }
    return sent;
}

static uint32_t sim_some(struct sim_io *sim, uint32_t most) {
    return sim_happens(sim, 40) ? most : 1 + sim_below(&sim->random, most);
}

static unsigned sim_complete_send(struct sim_io *sim, uint32_t socket, struct gw_io_event *event) {
    struct sim_socket *s = &sim->sockets[socket];
    struct sim_wire *wire = &sim->wires[s->wire];
    if (sim_below(&sim->random, 1000) < sim->send_fails_in_1000) {
        wire->reset = 1;
    }
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < s->iov_count; i++) {
        bytes += (uint32_t)s->iov[i].iov_len;
    }
    int32_t result = -ECONNRESET;
    if (!wire->reset) {
        result = (int32_t)sim_transmit(sim, s, sim_some(sim, bytes));
        if (result == 0) {
            return 0;
        }
    }
    s->sending = 0;
    *event = (struct gw_io_event){ .kind = GW_IO_SENT, .socket = socket, .result = result };
    return 1;
}

static uint32_t sim_take_buffer(struct sim_io *sim) {
    uint32_t buffer = sim_below(&sim->random, sim->io.receive_buffers);
    for (uint32_t tries = 0; tries < sim->io.receive_buffers; tries++) {
        if (!sim->buffer_lent[buffer]) {
            sim->buffer_lent[buffer] = 1;
            return buffer;
        }
        buffer = (buffer + 1) % sim->io.receive_buffers;
    }
    return SIM_NONE;
}

static unsigned sim_complete_receive(struct sim_io *sim, uint32_t socket, struct gw_io_event *event) {
    struct sim_socket *s = &sim->sockets[socket];
    struct sim_wire *wire = &sim->wires[s->wire];
    const uint32_t held = wire->reset ? 0 : sim_pipe_length(&wire->to_server);
    if (held > 0) {
        const uint32_t buffer = sim_take_buffer(sim);
        if (buffer == SIM_NONE) {
            sim->stats.receive_starved += !s->starved;
            s->starved = 1;
            return 0;
        }
        s->starved = 0;
        uint8_t *data = sim->io.receive_memory + (size_t)buffer * sim->io.receive_buffer_bytes;
        const uint32_t most = held < sim->io.receive_buffer_bytes ? held : sim->io.receive_buffer_bytes;
        const uint32_t bytes = sim_pipe_read(&wire->to_server, data, sim_some(sim, most));
        *event = (struct gw_io_event){ .data = data, .kind = GW_IO_RECEIVED, .socket = socket, .buffer = buffer,
                                       .bytes = bytes };
        return 1;
    }
    if (!wire->reset && !wire->client_ended) {
        return 0;
    }
    s->ended = 1;
    s->wanted = s->in_flight = 0;
    *event = (struct gw_io_event){ .kind = GW_IO_ENDED, .socket = socket, .result = wire->reset ? -ECONNRESET : 0 };
    return 1;
}

static unsigned sim_complete_close(struct sim_io *sim, uint32_t socket, struct gw_io_event *event) {
    struct sim_socket *s = &sim->sockets[socket];
    struct sim_wire *wire = &sim->wires[s->wire];
    if (s->sending && sim_happens(sim, 50)) {
        (void)sim_transmit(sim, s, 1 + sim_below(&sim->random, 64));   // it was under way
    }
    CHECK(!s->sending || sim_send_hash(s) == s->send_hash);
    if (s->late_buffer != SIM_NONE) {
        sim->buffer_lent[s->late_buffer] = 0;
    }
    // TCP answers bytes that nobody will read with a reset, which destroys what the peer has not read.
    wire->reset |= sim_pipe_length(&wire->to_server) > 0;
    wire->server_ended = wire->server_gone = 1;
    sim_wire_forget(wire);
    *s = (struct sim_socket){ .late_buffer = SIM_NONE };
    *event = (struct gw_io_event){ .kind = GW_IO_CLOSED, .socket = socket };
    return 1;
}

static int sim_waits_in_ring(const struct sim_io *sim, uint32_t socket) {
    int waits = 0;
    for (unsigned at = sim->requests_taken; at != sim->requests_tail; at++) {
        const struct io_uring_sqe *request = &sim->requests[at % SIM_REQUESTS];
        waits |= request->opcode == IORING_OP_SEND && (uint32_t)request->fd == socket;
    }
    return waits;
}

static unsigned sim_complete(struct sim_io *sim, uint32_t socket, uint32_t busy, struct gw_io_event *event) {
    struct sim_socket *s = &sim->sockets[socket];
    if (!s->used || !sim_happens(sim, busy)) {
        return 0;
    }
    if (s->closing) {
        // Its close lies in the ring, too, behind what was sent before.
        return sim_waits_in_ring(sim, socket) ? 0 : sim_complete_close(sim, socket, event);
    }
    if (s->sending && sim_happens(sim, 50) && sim_complete_send(sim, socket, event)) {
        return 1;
    }
    if (s->wanted || s->in_flight) {
        s->in_flight &= sim_happens(sim, 50);
        if (sim_complete_receive(sim, socket, event)) {
            return 1;
        }
    }
    return s->sending ? sim_complete_send(sim, socket, event) : 0;
}

static unsigned sim_accept(struct sim_io *sim, struct gw_io_event *event) {
    const uint32_t first = sim_below(&sim->random, SIM_WIRES), number = sim_below(&sim->random, sim->sockets_max);
    for (uint32_t i = 0; i < SIM_WIRES * sim->sockets_max && sim->listening && !sim->resting; i++) {
        const uint32_t w = (first + i / sim->sockets_max) % SIM_WIRES, socket = (number + i) % sim->sockets_max;
        struct sim_wire *wire = &sim->wires[w];
        struct sim_socket *s = &sim->sockets[socket];
        if (!wire->used || wire->accepted || wire->client_gone || s->used) {
            continue;
        }
        if (sim_below(&sim->random, 1000) < sim->accept_fails_in_1000) {
            sim->resting = 1;
            *event = (struct gw_io_event){ .kind = GW_IO_ACCEPT_FAILED, .result = -EMFILE };
            return 1;
        }
        wire->accepted = 1;
        *s = (struct sim_socket){ .used = 1, .wire = w, .late_buffer = SIM_NONE };
        *event = (struct gw_io_event){ .peer = wire->peer, .kind = GW_IO_ACCEPTED, .socket = socket };
        return 1;
    }
    return 0;
}

static unsigned sim_round(struct sim_io *sim, uint32_t busy, struct gw_io_event *events, unsigned capacity) {
    unsigned count = 0;
    const uint32_t looks = sim->sockets_max * (1 + sim_below(&sim->random, 4));
    for (uint32_t i = 0; i < looks && count < capacity; i++) {
        // A socket whose close has been told may be given out again at once, behind it.
        count += sim_complete(sim, sim_below(&sim->random, sim->sockets_max), busy, &events[count]);
        if (count < capacity && sim_happens(sim, 10)) {
            count += sim_accept(sim, &events[count]);
        }
    }
    return count;
}

// With nothing to tell, one look at each socket that misses nothing; then time passes, but never far: what clients
// would have done meanwhile they do between turns.
static int sim_turn(struct gw_io *io, uint64_t timeout_ns, struct gw_io_event *events, unsigned capacity) {
    struct sim_io *sim = sim_of(io);
    CHECK(capacity >= 2);
    sim->stats.syscalls++;
    const unsigned most = sim_happens(sim, 30) ? 2 : capacity;
    unsigned count = sim_round(sim, sim->busy_percent, events, most);
    if (count == 0 && timeout_ns > 0 && !sim->woken) {
        for (uint32_t socket = 0; socket < sim->sockets_max && count < capacity; socket++) {
            count += sim_complete(sim, socket, 100, &events[count]);
        }
        count += count < capacity ? sim_accept(sim, &events[count]) : 0;
        const uint64_t wait_ms = timeout_ns == UINT64_MAX ? 0 : (timeout_ns + 999999) / 1000000;
        sim->now_ms += count > 0 ? 0 : wait_ms < 20 ? wait_ms : 20;
    }
    sim->now_ms += sim_below(&sim->random, 2);
    sim->woken = 0;
    return (int)count;
}

// The same turn, whose events stand in the ring behind what submitting brought.

static void sim_encode(struct sim_io *sim, const struct gw_io_event *event) {
    switch (event->kind) {
    case GW_IO_RECEIVED:
        sim->front.buffers_free++;   // counted when it is provided, and it is always
        sim_complete_ring(sim, gw_request_pack(GW_RECEIVE, 0, event->socket), (int32_t)event->bytes,
                          event->buffer << IORING_CQE_BUFFER_SHIFT | IORING_CQE_F_BUFFER | IORING_CQE_F_MORE);
        break;
    case GW_IO_SENT:
        sim_complete_ring(sim, gw_request_pack(GW_SEND, 0, event->socket), event->result, 0);
        break;
    default: {
        const unsigned at = sim->completions_tail % SIM_COMPLETIONS;
        sim->rare[at] = *event;
        sim_complete_ring(sim, gw_request_pack(GW_QUIET, 0, at), 0, 0);
    }
    }
}

static int sim_begin(struct gw_io *io, uint64_t timeout_ns) {
    struct sim_io *sim = sim_of(io);
    sim_submit(sim, sim_happens(sim, 5) ? sim_below(&sim->random, SIM_REQUESTS) : SIM_REQUESTS);
    struct gw_io_event events[16];
    const int is_told = sim->completions_head != sim->completions_tail;
    const int count = sim_turn(io, is_told ? 0 : timeout_ns, events, sizeof events / sizeof *events);
    for (int i = 0; i < count; i++) {
        sim_encode(sim, &events[i]);
    }
    return 0;
}

static unsigned sim_decode(struct gw_io *io, const struct io_uring_cqe *cqe, struct gw_io_event *event) {
    const struct sim_io *sim = sim_of(io);
    const uint32_t socket = gw_request_socket(cqe->user_data);
    switch (gw_request_kind(cqe->user_data)) {
    case GW_RECEIVE: {
        const uint32_t buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        *event = (struct gw_io_event){ .data = io->receive_memory + (size_t)buffer * io->receive_buffer_bytes,
                                       .kind = GW_IO_RECEIVED, .socket = socket, .buffer = buffer,
                                       .bytes = (uint32_t)cqe->res };
        return 1;
    }
    case GW_SEND:
        *event = (struct gw_io_event){ .kind = GW_IO_SENT, .socket = socket, .result = cqe->res };
        return 1;
    default:
        CHECK(gw_request_kind(cqe->user_data) == GW_QUIET);
        *event = sim->rare[socket];
        return 1;
    }
}

static void sim_end(struct gw_io *io, unsigned head) {
    struct sim_io *sim = sim_of(io);
    CHECK(head == sim->completions_tail);
    sim->completions_head = head;
    if (sim->requests_taken == sim->requests_tail) {
        gw_uring_open_row(&sim->front);
    }
}

void sim_offer_rings(struct sim_io *sim) {
    sim->front = (struct gw_uring_front){
        .completions = sim->completions, .head = &sim->completions_head, .tail = &sim->completions_tail,
        .mask = SIM_COMPLETIONS - 1, .buffer_bytes = sim->io.receive_buffer_bytes,
        .request = sim->requests, .row = sim->requests, .row_end = sim->requests,
        .requests = sim->requests, .requests_taken = &sim->requests_taken, .requests_tail = &sim->requests_tail,
        .requests_count = SIM_REQUESTS, .begin = sim_begin, .complete = sim_decode, .end = sim_end,
    };
    sim->io.front = &sim->front;
}

static void sim_destroy(struct gw_io *io) { free(io->receive_memory); }

static const struct gw_io_ops sim_ops = {
    .name = "simulation",
    .destroy = sim_destroy,
    .listen = sim_listen,
    .stop_listening = sim_stop_listening,
    .accept_resume = sim_accept_resume,
    .receive_start = sim_receive_start,
    .receive_pause = sim_receive_pause,
    .buffers_return = sim_buffers_return,
    .send = sim_send,
    .shutdown = sim_shutdown,
    .close = sim_close,
    .turn = sim_turn,
    .wake = sim_wake,
    .now_ms = sim_now_ms,
    .read_stats = sim_read_stats,
};

void sim_io_init(struct sim_io *sim, const struct gw_io_config *config, uint64_t seed) {
    CHECK(config->sockets_max <= SIM_SOCKETS_MAX && config->receive_buffers <= SIM_BUFFERS_MAX);
    for (uint32_t w = 0; w < SIM_WIRES; w++) {
        sim->wires[w].used = 0;
    }
    memset(sim->sockets, 0, sizeof sim->sockets);
    memset(sim->buffer_lent, 0, sizeof sim->buffer_lent);
    sim->io = (struct gw_io){ .ops = &sim_ops, .receive_buffers = config->receive_buffers,
                              .receive_buffer_bytes = config->receive_buffer_bytes };
    sim->io.receive_memory = malloc((size_t)config->receive_buffers * config->receive_buffer_bytes);
    CHECK(sim->io.receive_memory != NULL);
    sim->random = seed;
    sim->now_ms = 1000;
    sim->sockets_max = config->sockets_max;
    sim->accept_fails_in_1000 = sim->send_fails_in_1000 = 0;
    sim->busy_percent = 50;
    sim->closed_while_sending = sim->short_sends = sim->short_sends_refused = sim->recalled = 0;
    sim->requests_taken = sim->requests_tail = sim->completions_head = sim->completions_tail = 0;
    sim->front = (struct gw_uring_front){ .requests_tail = &sim->requests_tail };
    sim->listening = sim->resting = sim->woken = 0;
    sim->stats = (struct gw_io_stats){ .bytes = 0 };
}

uint32_t sim_buffers_lent(const struct sim_io *sim) {
    uint32_t lent = 0;
    for (uint32_t b = 0; b < sim->io.receive_buffers; b++) {
        lent += sim->buffer_lent[b] != 0;
    }
    return lent;
}
