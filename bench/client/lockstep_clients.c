// See lockstep_clients.h.
#include "lockstep_clients.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"

struct lockstep_clients {
    struct lockstep_plan plan;
    int *sockets;
    unsigned opened;              // connections whose handshake was answered
    unsigned reading;             // the client whose answers are being read
    size_t got;                   // bytes of them so far
    uint8_t *request, *expected, *answer;
    size_t request_bytes, expected_bytes;
};

static void send_plain(int socket, const void *data, size_t bytes) {
    if (send(socket, data, bytes, MSG_NOSIGNAL) != (ssize_t)bytes) {
        die("a client's send: %s", strerror(errno));
    }
}

// Returns 0 when there is nothing to read.
static size_t receive_plain(int socket, void *data, size_t room) {
    const ssize_t count = recv(socket, data, room, MSG_DONTWAIT);
    if (count == 0 || (count < 0 && errno != EAGAIN)) {
        die("a client's receive: %s", count == 0 ? "ended" : strerror(errno));
    }
    return count < 0 ? 0 : (size_t)count;
}

static const struct lockstep_channel plain = { send_plain, receive_plain };

// Writes the header of a server's frame of this size. Returns its length.
static size_t answer_header(uint8_t *out, size_t size) {
    size_t header = 2;
    out[0] = 0x80 | WS_TEXT;
    out[1] = size < 126 ? (uint8_t)size : size <= UINT16_MAX ? 126 : 127;
    for (size_t left = size < 126 ? 0 : size <= UINT16_MAX ? 2 : 8; left > 0; left--) {
        out[header++] = (uint8_t)((uint64_t)size >> (8 * (left - 1)));
    }
    return header;
}

// A round's bytes, to the server and back.
static void prepare(struct lockstep_clients *c) {
    const size_t size = c->plan.size;
    uint8_t *payload = malloc(size + 1);
    c->request = malloc(c->plan.depth * (size + WS_HEADER_BYTES_MAX));
    c->expected = malloc(c->plan.depth * (size + WS_HEADER_BYTES_MAX));
    c->answer = malloc(c->plan.depth * (size + WS_HEADER_BYTES_MAX));
    c->sockets = calloc(c->plan.connections, sizeof *c->sockets);
    if (!payload || !c->request || !c->expected || !c->answer || !c->sockets) {
        die("out of memory");
    }
    for (unsigned message = 0; message < c->plan.depth; message++) {
        for (size_t i = 0; i < size; i++) {
            payload[i] = (uint8_t)('a' + (i + message) % 26);
        }
        uint8_t *request = c->request + c->request_bytes, *expected = c->expected + c->expected_bytes;
        const size_t frame = ws_frame(request, WS_TEXT, payload, size);
        c->request_bytes += frame;
        if (c->plan.raw) {
            memcpy(expected, request, frame);
            c->expected_bytes += frame;
        } else {
            const size_t header = answer_header(expected, size);
            memcpy(expected + header, payload, size);
            c->expected_bytes += header + size;
        }
    }
    free(payload);
}

struct lockstep_clients *lockstep_clients_create(const struct lockstep_plan *plan) {
    if (plan->connections == 0 || plan->depth == 0) {
        die("connections and depth are 1 at least");
    }
    struct lockstep_clients *c = calloc(1, sizeof *c);
    if (c == NULL) {
        die("out of memory");
    }
    c->plan = *plan;
    c->plan.channel = plan->channel != NULL ? plan->channel : &plain;
    prepare(c);
    for (unsigned i = 0; i < plan->connections; i++) {
        c->sockets[i] = -1;
    }
    return c;
}

void lockstep_clients_destroy(struct lockstep_clients *c) {
    for (unsigned i = 0; i < c->plan.connections; i++) {
        if (c->sockets[i] >= 0) {
            close(c->sockets[i]);
        }
    }
    free(c->sockets);
    free(c->request);
    free(c->expected);
    free(c->answer);
    free(c);
}

int lockstep_clients_open(struct lockstep_clients *c, uint16_t port) {
    if (c->opened == c->plan.connections) {
        return 1;
    }
    int *socket = &c->sockets[c->opened];
    if (*socket < 0) {
        char request[512];
        *socket = tcp_connect(port, c->opened);
        if (*socket < 0) {
            die("connect: %s", strerror(-*socket));
        }
        if (c->plan.raw) {
            return ++c->opened == c->plan.connections;
        }
        c->plan.channel->send(*socket, request, ws_request(request, sizeof request, port, "/ws", NULL));
        return 0;
    }
    // The answer is short, and comes whole.
    char answer[WS_ANSWER_BYTES_MAX + 1];
    const size_t length = c->plan.channel->receive(*socket, answer, WS_ANSWER_BYTES_MAX);
    answer[length] = '\0';
    if (length > 0 && ws_answer(answer) != 1) {
        die("the handshake was refused");
    }
    c->opened += length > 0;
    return c->opened == c->plan.connections;
}

void lockstep_clients_send(struct lockstep_clients *c) {
    const unsigned senders = c->plan.fan_out ? 1 : c->plan.connections;
    for (unsigned i = 0; i < senders; i++) {
        c->plan.channel->send(c->sockets[i], c->request, c->request_bytes);
    }
    c->reading = 0;
    c->got = 0;
}

int lockstep_clients_answered(struct lockstep_clients *c) {
    while (c->reading < c->plan.connections) {
        uint8_t *to = c->answer + c->got;
        const size_t count = c->plan.channel->receive(c->sockets[c->reading], to, c->expected_bytes - c->got);
        if (count == 0) {
            return 0;
        }
        c->got += count;
        if (c->got == c->expected_bytes) {
            if (memcmp(c->answer, c->expected, c->expected_bytes) != 0) {
                die("an answer differs from what was sent");
            }
            c->got = 0;
            c->reading++;
        }
    }
    return 1;
}

uint64_t lockstep_clients_round(const struct lockstep_clients *c) {
    return (uint64_t)c->plan.connections * c->plan.depth;
}
