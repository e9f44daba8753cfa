// The whole server side of a connection: the real reactor, connection and codec over the simulated network, with the
// input as what one client writes, in the pieces that the input names, while a seed in it decides how sends, receives
// and buffers come and go. Whatever the client does,
//   what it is answered is a whole HTTP response and then whole, unmasked frames, none after a close frame
//   the caller hears OPENED once, then messages, then CLOSED once, and every text is UTF-8
//   a neighbour on the same reactor gets all its echoes
//   in the end no connection, buffer of the pool or receive buffer is left (and the sanitizer sees no memory)
// The simulation checks each request of the core besides (sim.h).
//
// Input: the seed (2 bytes), a byte of choices, a byte for the sizes, the splits (fuzz.h), the stream.
#define _GNU_SOURCE   // memmem
#include "fuzz.h"
#include "gw_reactor.h"
#include "gw_utf8.h"
#include "sim.h"

enum {
    HEAD_BYTES = 4, MESSAGE_MAX = 4096, NEIGHBOUR_MESSAGES = 5, TURNS_MAX = 20000, ANSWER_BYTES = 3 * MESSAGE_MAX,
};

enum choices {
    HANDSHAKE_DONE = 1,      // a good request goes before the stream, so that it begins with frames
    READS_SLOWLY = 2,
    ENDS = 4,                // after the stream: half-closes
    RESETS = 8,              // or resets
    SERVER_CLOSES = 16,      // the caller closes at the third message
    IS_LIMITED = 32,         // one untrusted connection an address
    SUBPROTOCOL = 64,
    DEFLATES = 128,          // compression is agreed on, if the client asks; the good request does
};

#define REQUEST                                                                                                   \
    "GET /ws HTTP/1.1\r\nHost: f\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"   \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: chat\r\n"
static const char request[] = REQUEST "\r\n";
static const char deflating_request[] = REQUEST "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n";

// A client's end, reading.
struct listener {
    uint32_t wire;           // SIM_NONE: it has left
    uint32_t length;
    uint32_t messages;
    uint8_t answered;        // the response was read, with 101
    uint8_t closed;          // a close frame was read, or a refusal
    uint8_t bytes[ANSWER_BYTES];
};

static struct sim_io sim;
static struct gw_reactor *reactor;
static struct listener client, neighbour;
static gw_conn_id open_ids[SIM_SOCKETS_MAX];
static struct gw_payload *lease;
static uint64_t dice;
static uint32_t heard;
static uint8_t choices;

// The caller's side.

static void serve_message(const struct gw_event *event) {
    EXPECT(event->length <= MESSAGE_MAX && (event->opcode == GW_TEXT || event->opcode == GW_BINARY));
    if (event->opcode == GW_TEXT) {
        EXPECT(gw_utf8_feed(GW_UTF8_START, event->data, event->length) == GW_UTF8_START);
    }
    (void)gw_conn_send(reactor, event->conn, (enum gw_opcode)event->opcode, event->data, event->length);
    if (lease == NULL && sim_below(&dice, 4) == 0) {
        lease = gw_payload_acquire(reactor, event);
    }
    if ((choices & SERVER_CLOSES) && ++heard == 3) {
        (void)gw_conn_close(reactor, event->conn, 4001, "enough");
    }
}

static void serve_turn(uint64_t timeout_ns) {
    const struct gw_event *events;
    const int count = gw_reactor_turn(reactor, timeout_ns, &events);
    EXPECT(count >= 0);
    for (int i = 0; i < count; i++) {
        gw_conn_id *open = &open_ids[(uint32_t)events[i].conn];
        EXPECT(*open == (events[i].kind == GW_EVENT_OPENED ? 0 : events[i].conn));
        if (events[i].kind == GW_EVENT_OPENED) {
            *open = events[i].conn;
        } else if (events[i].kind == GW_EVENT_CLOSED) {
            *open = 0;
        } else if (events[i].kind == GW_EVENT_MESSAGE) {
            serve_message(&events[i]);
        }
    }
    if (lease != NULL && sim_below(&dice, 4) == 0) {
        gw_payload_release(reactor, lease);
        lease = NULL;
    }
}

// The clients' side.

static void hear_frame(struct listener *l, const uint8_t *frame, uint32_t head, uint32_t length) {
    EXPECT(!l->closed);
    switch (frame[0]) {
    case 0x81:
        EXPECT(gw_utf8_feed(GW_UTF8_START, frame + head, length) == GW_UTF8_START);
        l->messages++;
        break;
    case 0x82:
        l->messages++;
        break;
    case 0xc1:
    case 0xc2:   // compressed: worth it, and asked for
        EXPECT((choices & DEFLATES) && l == &client && length > 0);
        break;
    case 0x88:
        EXPECT(length == 0 || (length >= 2 && length <= 125));
        l->closed = 1;
        break;
    case 0x8a:
        EXPECT(length <= 125);
        break;
    default:
        EXPECT(!"a frame that the server may send");
    }
}

// Takes one response or frame off what was read; 0: none is whole.
static uint32_t hear_one(struct listener *l, const uint8_t *bytes, uint32_t length) {
    if (!l->answered && !l->closed) {
        const uint8_t *end = memmem(bytes, length, "\r\n\r\n", 4);
        if (end == NULL) {
            EXPECT(length < GW_RESPONSE_BYTES_MAX);
            return 0;
        }
        l->answered = memcmp(bytes, "HTTP/1.1 101 ", 13) == 0;
        l->closed = !l->answered;
        EXPECT(l->answered || (memcmp(bytes, "HTTP/1.1 ", 9) == 0 && (bytes[9] == '4' || bytes[9] == '5')));
        return (uint32_t)(end - bytes) + 4;
    }
    if (!l->answered) {
        return length;   // the refusal's body
    }
    const uint32_t head = length >= 2 && bytes[1] == 126 ? 4 : 2;
    if (length < head) {
        return 0;
    }
    EXPECT(bytes[1] <= 126);
    const uint32_t payload = head == 4 ? (uint32_t)bytes[2] << 8 | bytes[3] : bytes[1];
    EXPECT(payload <= MESSAGE_MAX && (head == 2 || payload > 125));
    if (length < head + payload) {
        return 0;
    }
    hear_frame(l, bytes, head, payload);
    return head + payload;
}

static void leave(struct listener *l) {
    if (l->wire != SIM_NONE) {
        sim_release(&sim, l->wire);
        l->wire = SIM_NONE;
    }
}

static void listen_some(struct listener *l, uint32_t most) {
    if (l->wire == SIM_NONE) {
        return;
    }
    const uint32_t room = ANSWER_BYTES - l->length;
    const int32_t some = sim_client_read(&sim, l->wire, l->bytes + l->length, most < room ? most : room);
    if (some < 0) {
        leave(l);
        return;
    }
    l->length += (uint32_t)some;
    uint32_t at = 0, taken;
    while (at < l->length && (taken = hear_one(l, l->bytes + at, l->length - at)) > 0) {
        at += taken;
    }
    memmove(l->bytes, l->bytes + at, l->length - at);
    l->length -= at;
}

static void turn(uint64_t timeout_ns) {
    serve_turn(timeout_ns);
    if (!(choices & READS_SLOWLY) || sim_below(&dice, 16) == 0) {
        listen_some(&client, 1 + sim_below(&dice, ANSWER_BYTES));
    }
    listen_some(&neighbour, ANSWER_BYTES);
}

static void write_all(struct listener *l, const uint8_t *bytes, uint32_t length) {
    for (int tries = 0; length > 0 && l->wire != SIM_NONE; tries++) {
        EXPECT(tries < TURNS_MAX);
        const uint32_t taken = sim_client_write(&sim, l->wire, bytes, length);
        bytes += taken;
        length -= taken;
        turn(0);
    }
}

// The run.

static struct listener listener_at(uint32_t peer, uint32_t window) {
    return (struct listener){ .wire = sim_connect(&sim, window, peer) };
}

static void open_server(uint64_t seed, uint8_t sizes) {
    static const char *const subprotocols[] = { "chat", NULL };
    struct gw_config config;
    gw_config_init(&config);
    config.connections_max = SIM_SOCKETS_MAX;
    config.message_bytes_max = MESSAGE_MAX;
    config.fragments_max = 8;
    config.outbound_bytes_max = 2 * MESSAGE_MAX;
    config.pool_bytes_max = 2 << 20;
    config.deflate = (choices & DEFLATES) != 0;
    config.deflate_bytes_max = 512 << 10;
    config.receive_buffers = 1u << (1 + sizes % 4);
    config.receive_buffer_bytes = 64 * (1u + sizes / 4 % 8);
    config.batch_events_max = 1u + sizes / 32;
    config.handshake_ms = config.write_stall_ms = 2000;
    config.idle_ms = 20000;   // the neighbour is silent for as long as the stream takes, byte by byte
    config.close_ms = 200;
    config.untrusted_per_peer_max = choices & IS_LIMITED ? 1 : 0;
    config.subprotocols = choices & SUBPROTOCOL ? subprotocols : NULL;
    const struct gw_io_config io = { .sockets_max = config.connections_max, .receive_buffers = config.receive_buffers,
                                     .receive_buffer_bytes = config.receive_buffer_bytes };
    EXPECT(gw_config_check(&config) == 0);
    sim_io_init(&sim, &io, seed | 1);
    if (seed & 1) {
        sim_offer_rings(&sim);
    }
    EXPECT(gw_reactor_create_on(&config, &sim.io, &reactor) == 0);
    EXPECT(gw_reactor_listen(reactor, "sim", 1, 0) == 1);
    memset(open_ids, 0, sizeof open_ids);
    dice = seed * 0x9e3779b97f4a7c15u | 1;
    heard = 0;
}

static void neighbour_speaks(void) {
    static const uint8_t frame[] = { 0x81, 0x83, 1, 2, 3, 4, 'a' ^ 1, 'b' ^ 2, 'c' ^ 3 };
    write_all(&neighbour, frame, sizeof frame);
}

static void close_server(void) {
    struct gw_stats stats;
    for (int turns = 0;; turns++) {
        EXPECT(turns < TURNS_MAX);
        turn(UINT64_MAX);
        gw_reactor_stats(reactor, &stats);
        // The neighbour leaves when it has its echoes; the client is left to the server's deadlines.
        if (neighbour.messages == NEIGHBOUR_MESSAGES) {
            leave(&neighbour);
        }
        if (stats.connections == 0 && neighbour.wire == SIM_NONE && client.wire == SIM_NONE) {
            break;
        }
    }
    EXPECT(neighbour.messages == NEIGHBOUR_MESSAGES || (choices & SERVER_CLOSES));
    if (lease != NULL) {
        gw_payload_release(reactor, lease);
        lease = NULL;
    }
    serve_turn(0);   // what the last turn's events pointed to
    gw_reactor_stats(reactor, &stats);
    EXPECT(stats.accepted == stats.closed && stats.pool_bytes == 0 && sim_buffers_lent(&sim) == 0);
    for (uint32_t slot = 0; slot < SIM_SOCKETS_MAX; slot++) {
        EXPECT(open_ids[slot] == 0);
    }
    gw_reactor_destroy(reactor);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
    if (length < HEAD_BYTES) {
        return 0;
    }
    const uint64_t seed = (uint64_t)data[0] << 8 | data[1];
    const uint8_t sizes = data[3];
    choices = data[2];
    data += HEAD_BYTES;
    length -= HEAD_BYTES;
    struct fuzz_splits splits = fuzz_take_splits(&data, &length);

    open_server(seed, sizes);
    client = listener_at(1, choices & READS_SLOWLY ? 200 : SIM_PIPE_BYTES);
    neighbour = listener_at(2, SIM_PIPE_BYTES);
    write_all(&neighbour, (const uint8_t *)request, sizeof request - 1);
    if (choices & HANDSHAKE_DONE) {
        write_all(&client, (const uint8_t *)(choices & DEFLATES ? deflating_request : request),
                  (uint32_t)(choices & DEFLATES ? sizeof deflating_request : sizeof request) - 1);
    }
    neighbour_speaks();
    for (size_t at = 0; at < length && client.wire != SIM_NONE;) {
        const size_t size = fuzz_next_split(&splits, length - at);
        write_all(&client, data + at, (uint32_t)size);
        at += size;
    }
    for (int i = 1; i < NEIGHBOUR_MESSAGES; i++) {
        neighbour_speaks();
    }
    if (client.wire != SIM_NONE && (choices & RESETS)) {
        sim_client_reset(&sim, client.wire);
    } else if (client.wire != SIM_NONE && (choices & ENDS)) {
        sim_client_end(&sim, client.wire);
    }
    close_server();
    return 0;
}
