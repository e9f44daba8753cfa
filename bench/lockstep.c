// The core and its clients in one thread, in lock step: every client sends, the core turns until it has answered,
// every client reads. So each turn finds the same work in every run, on a busy machine and under valgrind, and what
// is counted between the two is a figure without noise. Answers are compared byte by byte.
//
//   lockstep [--connections N] [--depth N] [--size BYTES] [--rounds N] [--backend io_uring|epoll] [--fan-out]
//
// --fan-out: one client sends and every client is sent its message, as one shared frame.
// Prints the messages (deliveries, for a fan-out) and system calls of the measured rounds, which are those that
// lockstep_measured runs; a tool that counts by function (callgrind --toggle-collect) counts that one.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "gw_gateway.h"
#include "options.h"

enum { WARM_UP_ROUNDS = 20, TURNS_MAX = 1000000 };

struct lockstep {
    struct gw_reactor *reactor;
    uint64_t *ids;               // of the open connections
    int *sockets;
    unsigned connections, opened, depth, rounds;
    int fan_out;
    size_t size;
    uint8_t *request, *expected, *answer;
    size_t request_bytes, expected_bytes;
    uint64_t answered;           // messages sent by the core
    void (*serve)(struct lockstep *l, const struct gw_event *event);
};

static void must_send(int error) {
    if (error != 0) {
        die("send: %s", gw_strerror(error));
    }
}

static void spread(struct lockstep *l, const struct gw_event *event) {
    struct gw_frame *frame;
    must_send(gw_frame_create(l->reactor, (enum gw_opcode)event->opcode, event->data, event->length, &frame));
    for (unsigned i = 0; i < l->opened; i++) {
        must_send(gw_conn_send_frame(l->reactor, l->ids[i], frame));
    }
    gw_frame_release(l->reactor, frame);
    l->answered += l->opened;
}

static void echo(struct lockstep *l, const struct gw_event *event) {
    must_send(gw_conn_send(l->reactor, event->conn, (enum gw_opcode)event->opcode, event->data, event->length));
    l->answered++;
}

static void turn(struct lockstep *l) {
    const struct gw_event *events;
    const int count = gw_reactor_turn(l->reactor, 0, &events);
    if (count < 0) {
        die("turn: %s", gw_strerror(count));
    }
    for (int i = 0; i < count; i++) {
        const struct gw_event *event = &events[i];
        if (event->kind == GW_EVENT_MESSAGE) {
            l->serve(l, event);
        } else if (event->kind == GW_EVENT_OPENED) {
            l->ids[l->opened++] = event->conn;
        } else {
            die("connection %llu ended with %u", (unsigned long long)event->conn, event->code);
        }
    }
}

// What the core does for one round: a turn takes the messages in, the one after it sends the answers. An answer of
// more than the kernel takes at once needs further turns.
static void answer(struct lockstep *l, uint64_t messages) {
    const uint64_t until = l->answered + messages;
    for (unsigned turns = 0; l->answered < until; turns++) {
        if (turns == TURNS_MAX) {
            die("the core answers no more");
        }
        turn(l);
    }
    turn(l);
}

__attribute__((noinline)) static void lockstep_measured(struct lockstep *l, uint64_t messages) { answer(l, messages); }

static void send_whole(int socket, const uint8_t *data, size_t bytes) {
    if (send(socket, data, bytes, MSG_NOSIGNAL) != (ssize_t)bytes) {
        die("a client's send: %s", strerror(errno));
    }
}

// Reads what is expected, turning the core while it still has some of it.
static void read_answer(struct lockstep *l, int socket, size_t bytes) {
    size_t got = 0;
    for (unsigned turns = 0; got < bytes; turns++) {
        const ssize_t count = recv(socket, l->answer + got, bytes - got, MSG_DONTWAIT);
        if (count > 0) {
            got += (size_t)count;
        } else if (count == 0 || errno != EAGAIN || turns == TURNS_MAX) {
            die("a client's receive: %s", count == 0 ? "ended" : strerror(errno));
        } else {
            turn(l);
        }
    }
    if (memcmp(l->answer, l->expected, bytes) != 0) {
        die("an answer differs from what was sent");
    }
}

static void round_trip(struct lockstep *l, void (*serve)(struct lockstep *, uint64_t)) {
    const unsigned senders = l->fan_out ? 1 : l->connections;
    for (unsigned i = 0; i < senders; i++) {
        send_whole(l->sockets[i], l->request, l->request_bytes);
    }
    serve(l, (uint64_t)l->connections * l->depth);
    for (unsigned i = 0; i < l->connections; i++) {
        read_answer(l, l->sockets[i], l->expected_bytes);
    }
}

static void connect_all(struct lockstep *l, uint16_t port) {
    static const char opening[] = "GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    for (unsigned i = 0; i < l->connections; i++) {
        l->sockets[i] = tcp_connect(port, i);
        if (l->sockets[i] < 0) {
            die("connect: %s", strerror(-l->sockets[i]));
        }
        send_whole(l->sockets[i], (const uint8_t *)opening, sizeof opening - 1);
        for (unsigned turns = 0; l->opened == i && turns < TURNS_MAX; turns++) {
            turn(l);
        }
        turn(l);
        char text[1024];
        if (recv(l->sockets[i], text, sizeof text, 0) < 12 || memcmp(text, "HTTP/1.1 101", 12) != 0) {
            die("the handshake was refused");
        }
    }
}

// A round's bytes, to the core and back.
static void prepare(struct lockstep *l) {
    uint8_t *payload = malloc(l->size + 1);
    l->request = malloc(l->depth * (l->size + WS_HEADER_BYTES_MAX));
    l->expected = malloc(l->depth * (l->size + WS_HEADER_BYTES_MAX));
    l->answer = malloc(l->depth * (l->size + WS_HEADER_BYTES_MAX));
    l->sockets = calloc(l->connections, sizeof *l->sockets);
    l->ids = calloc(l->connections, sizeof *l->ids);
    if (!payload || !l->request || !l->expected || !l->answer || !l->sockets || !l->ids) {
        die("out of memory");
    }
    for (unsigned message = 0; message < l->depth; message++) {
        for (size_t i = 0; i < l->size; i++) {
            payload[i] = (uint8_t)('a' + (i + message) % 26);
        }
        l->request_bytes += ws_frame(l->request + l->request_bytes, WS_TEXT, payload, l->size);
        uint8_t *out = l->expected + l->expected_bytes;
        size_t header = 2;
        out[0] = 0x80 | WS_TEXT;
        out[1] = l->size < 126 ? (uint8_t)l->size : l->size <= UINT16_MAX ? 126 : 127;
        for (size_t left = l->size < 126 ? 0 : l->size <= UINT16_MAX ? 2 : 8; left > 0; left--) {
            out[header++] = (uint8_t)((uint64_t)l->size >> (8 * (left - 1)));
        }
        memcpy(out + header, payload, l->size);
        l->expected_bytes += header + l->size;
    }
    free(payload);
}

static uint64_t syscalls(const struct lockstep *l) {
    struct gw_stats stats;
    gw_reactor_stats(l->reactor, &stats);
    return stats.syscalls;
}

int main(int argc, char **argv) {
    struct gw_config config;
    gw_config_init(&config);
    struct lockstep l = { .connections = 100, .depth = 1, .rounds = 200, .size = 16 };
    const char *backend = "";
    const struct option_spec specs[] = {
        { "--connections", OPTION_UNSIGNED, &l.connections },
        { "--depth", OPTION_UNSIGNED, &l.depth },
        { "--size", OPTION_SIZE, &l.size },
        { "--rounds", OPTION_UNSIGNED, &l.rounds },
        { "--backend", OPTION_TEXT, &backend },
        { "--fan-out", OPTION_FLAG, &l.fan_out },
    };
    options_parse(argc, argv, specs, sizeof specs / sizeof *specs);
    if (strcmp(backend, "io_uring") == 0) {
        config.backend = GW_BACKEND_IO_URING;
    } else if (strcmp(backend, "epoll") == 0) {
        config.backend = GW_BACKEND_EPOLL;
    } else if (*backend != '\0') {
        die("--backend: there is no %s", backend);
    }
    if (l.connections == 0 || l.depth == 0) {
        die("--connections and --depth are 1 at least");
    }
    l.serve = l.fan_out ? spread : echo;
    prepare(&l);
    const int created = gw_reactor_create(&config, &l.reactor);
    if (created < 0) {
        die("create: %s", gw_strerror(created));
    }
    const int port = gw_reactor_listen(l.reactor, "127.0.0.1", 0, 0);
    if (port < 0) {
        die("listen: %s", gw_strerror(port));
    }
    connect_all(&l, (uint16_t)port);
    for (unsigned i = 0; i < WARM_UP_ROUNDS; i++) {
        round_trip(&l, answer);
    }
    const uint64_t answered = l.answered, entered = syscalls(&l);
    for (unsigned i = 0; i < l.rounds; i++) {
        round_trip(&l, lockstep_measured);
    }
    printf("messages %llu syscalls %llu\n", (unsigned long long)(l.answered - answered),
           (unsigned long long)(syscalls(&l) - entered));
    gw_reactor_destroy(l.reactor);
    for (unsigned i = 0; i < l.connections; i++) {
        close(l.sockets[i]);
    }
    free(l.sockets);
    free(l.ids);
    free(l.request);
    free(l.expected);
    free(l.answer);
    return 0;
}
