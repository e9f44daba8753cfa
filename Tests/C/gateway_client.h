// A reactor and plain blocking-style clients on one thread: every client call turns the reactor while it waits,
// so that a test reads from top to bottom. Events are copied out of their turns as they come.
//
// Not here: any use of the codec. Frames are built and read by hand, so that the two cannot agree on a mistake.
#ifndef GATEWAY_CLIENT_H
#define GATEWAY_CLIENT_H

#define _GNU_SOURCE   // memmem
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "gw_gateway.h"
#include "gw_io.h"
#include "test.h"
#include "tls_client.h"

// With TEST_IO=tls what a test sends and receives here is encrypted on its way.
#define send(...) socket_send(__VA_ARGS__)
#define recv(...) socket_recv(__VA_ARGS__)
#define close(...) socket_close(__VA_ARGS__)

struct seen {
    gw_conn_id conn;
    uint8_t kind, opcode, subprotocol;
    uint16_t code;
    uint64_t length;
    uint8_t *data;
};

struct world {
    struct gw_reactor *reactor;
    int port;
    int echo;             // answer messages instead of keeping them
    int forwards;         // and do so from where they lie
    struct seen *seen;
    size_t seen_count, seen_max;
    uint64_t echo_refused;
};

enum { WORLD_PATIENCE_MS = 20000 };

HELPER uint64_t world_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

// TEST_IO in the environment: what is under test, io_uring unless told; tls and tls-epoll are TLS over either, with -kernel
// sealed by the kernel where it can.
HELPER enum gw_backend test_backend(void) {
    const char *io = getenv("TEST_IO");
    CHECK(io == NULL || io[0] == 0 || strcmp(io, "io_uring") == 0 || strcmp(io, "epoll") == 0
          || strcmp(io, "tls") == 0 || strcmp(io, "tls-epoll") == 0 || strcmp(io, "tls-kernel") == 0
          || strcmp(io, "tls-epoll-kernel") == 0);
    return io != NULL && strstr(io, "epoll") != NULL ? GW_BACKEND_EPOLL : GW_BACKEND_IO_URING;
}

HELPER int test_over_tls(void) {
    const char *io = getenv("TEST_IO");
    return io != NULL && strncmp(io, "tls", 3) == 0;
}

// For what arranges bytes, descriptors or a backlog so exactly that only plaintext meets it.
#define RUN_PLAIN(test)          \
    do {                         \
        if (!test_over_tls()) {  \
            RUN(test);           \
        }                        \
    } while (0)

HELPER void config_secure(struct gw_config *config) {
    config->tls_certificate_file = tls_files()->certificate;
    config->tls_key_file = tls_files()->key;
    config->tls_kernel = getenv("TEST_IO") != NULL && strstr(getenv("TEST_IO"), "kernel") != NULL;
    if (tls_client_context == NULL) {
        tls_client_context = tls_client_context_new();
    }
}

// The defaults, with as many connections as a test is of.
HELPER struct gw_config config_usual(uint32_t connections) {
    struct gw_config config;
    gw_config_init(&config);
    config.connections_max = connections;
    config.receive_buffers = 64;
    return config;
}

HELPER void world_open(struct world *w, const struct gw_config *wanted) {
    struct gw_config config = *wanted;
    config.backend = (uint8_t)test_backend();
    if (test_over_tls()) {
        config_secure(&config);
    }
    *w = (struct world){ .seen_max = 65536 };
    w->seen = calloc(w->seen_max, sizeof *w->seen);
    CHECK(gw_reactor_create(&config, &w->reactor) == 0);
    w->port = gw_reactor_listen(w->reactor, "127.0.0.1", 0, 0);
    CHECK(w->port > 0);
    int refusal;
    const char *name = config.backend == GW_BACKEND_EPOLL ? "epoll" : "io_uring";
    CHECK(strcmp(gw_reactor_backend(w->reactor, &refusal), name) == 0 && refusal == 0);
}

HELPER void world_forget(struct world *w) {
    for (size_t i = 0; i < w->seen_count; i++) {
        free(w->seen[i].data);
    }
    w->seen_count = 0;
}

HELPER void world_close(struct world *w) {
    world_forget(w);
    free(w->seen);
    gw_reactor_destroy(w->reactor);
}

HELPER struct gw_stats world_stats(const struct world *w) {
    struct gw_stats stats;
    gw_reactor_stats(w->reactor, &stats);
    return stats;
}

HELPER void world_keep(struct world *w, const struct gw_event *event) {
    CHECK(w->seen_count < w->seen_max);
    struct seen *seen = &w->seen[w->seen_count++];
    *seen = (struct seen){ .conn = event->conn, .kind = event->kind, .opcode = event->opcode,
                           .subprotocol = event->subprotocol, .code = event->code, .length = event->length };
    if (event->length > 0) {
        seen->data = malloc(event->length);
        memcpy(seen->data, event->data, event->length);
    }
}

HELPER void world_turn(struct world *w, uint64_t timeout_ms) {
    const struct gw_event *events;
    const int count = gw_reactor_turn(w->reactor, timeout_ms * 1000000, &events);
    CHECK(count >= 0);
    for (int i = 0; i < count; i++) {
        if (w->echo && events[i].kind == GW_EVENT_MESSAGE) {
            const int error = w->forwards
                ? gw_conn_forward(w->reactor, events[i].conn, &events[i])
                : gw_conn_send(w->reactor, events[i].conn, (enum gw_opcode)events[i].opcode, events[i].data,
                               events[i].length);
            w->echo_refused += error != 0;
        } else {
            world_keep(w, &events[i]);
        }
    }
}

// And ten turns at least, however long a busy machine keeps us from making them.
HELPER void world_turn_for(struct world *w, uint64_t ms) {
    const uint64_t end = world_now_ms() + ms;
    for (int turns = 0; turns < 10 || world_now_ms() < end; turns++) {
        world_turn(w, 1);
    }
}

// Until so many connections are left: a place is free once its socket is closed, however many turns a busy machine allows.
HELPER void world_await_connections(struct world *w, uint64_t connections) {
    const uint64_t end = world_now_ms() + WORLD_PATIENCE_MS;
    while (world_stats(w).connections != connections) {
        CHECK(world_now_ms() < end);
        world_turn(w, 1);
    }
}

// Until nobody is left, who must have left nothing.
HELPER void world_expect_empty(struct world *w) {
    world_await_connections(w, 0);
    world_turn(w, 0);
    CHECK(world_stats(w).gathered_bytes == 0 && world_stats(w).pool_bytes == 0);
}

// The n-th event of a kind, from 0, turning until it is there.
HELPER struct seen *world_await(struct world *w, enum gw_event_kind kind, size_t n) {
    const uint64_t end = world_now_ms() + WORLD_PATIENCE_MS;
    for (size_t from = 0, found = 0;;) {
        for (; from < w->seen_count; from++) {
            if (w->seen[from].kind == kind && found++ == n) {
                return &w->seen[from];
            }
        }
        CHECK(world_now_ms() < end);
        world_turn(w, 1);
    }
}

HELPER size_t world_count(const struct world *w, enum gw_event_kind kind) {
    size_t count = 0;
    for (size_t i = 0; i < w->seen_count; i++) {
        count += w->seen[i].kind == kind;
    }
    return count;
}

// Clients: non-blocking sockets, waited for by turning the reactor.

HELPER int client_connect_sized(struct world *w, int receive_bytes) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(fd >= 0);
    if (receive_bytes > 0) {
        CHECK(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &receive_bytes, sizeof receive_bytes) == 0);
    }
    const int on = 1;
    CHECK(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)w->port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == 0);
    return fd;
}

HELPER int client_connect(struct world *w) { return client_connect_sized(w, 0); }

// A client at 127.0.0.host.
HELPER int client_connect_from(struct world *w, uint8_t host) {
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const struct sockaddr_in from = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000000u | host) };
    const struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons((uint16_t)w->port),
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    CHECK(fd >= 0 && bind(fd, (const struct sockaddr *)&from, sizeof from) == 0);
    CHECK(connect(fd, (const struct sockaddr *)&to, sizeof to) == 0);
    return fd;
}

HELPER void client_send(struct world *w, int fd, const void *data, size_t length) {
    const uint8_t *bytes = data;
    const uint64_t end = world_now_ms() + WORLD_PATIENCE_MS;
    while (length > 0) {
        const ssize_t sent = send(fd, bytes, length, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent > 0) {
            bytes += sent;
            length -= (size_t)sent;
        } else {
            CHECK(sent < 0 && errno == EAGAIN && world_now_ms() < end);
            world_turn(w, 1);
        }
    }
}

// One receive: bytes, 0 at the end of the stream (a reset counts as one), -1 after ms without either.
HELPER ssize_t client_receive_some(struct world *w, int fd, void *out, size_t room, uint64_t ms) {
    const uint64_t end = world_now_ms() + ms;
    for (;;) {
        const ssize_t received = recv(fd, out, room, MSG_DONTWAIT);
        if (received >= 0) {
            return received;
        }
        if (errno == ECONNRESET) {
            return 0;
        }
        CHECK(errno == EAGAIN);
        if (world_now_ms() >= end) {
            return -1;
        }
        world_turn(w, 0);
    }
}

HELPER void client_receive(struct world *w, int fd, void *out, size_t length) {
    uint8_t *bytes = out;
    while (length > 0) {
        const ssize_t received = client_receive_some(w, fd, bytes, length, WORLD_PATIENCE_MS);
        CHECK(received > 0);
        bytes += received;
        length -= (size_t)received;
    }
}

HELPER int client_is_ended(struct world *w, int fd, uint64_t ms) {
    uint8_t rest[4096];
    ssize_t received;
    while ((received = client_receive_some(w, fd, rest, sizeof rest, ms)) > 0) {
    }
    return received == 0;
}

#define UPGRADE_LINES                                                                       \
    "Host: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"                      \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
#define UPGRADE_REQUEST "GET /ws HTTP/1.1\r\n" UPGRADE_LINES "\r\n"

// Reads a response's head into a string and returns its status.
HELPER int client_read_response(struct world *w, int fd, char *head, size_t room) {
    size_t length = 0;
    while (length < 4 || memcmp(head + length - 4, "\r\n\r\n", 4) != 0) {
        CHECK(length + 1 < room);
        client_receive(w, fd, head + length, 1);
        length++;
    }
    head[length] = 0;
    int status = 0;
    CHECK(sscanf(head, "HTTP/1.1 %d", &status) == 1);
    return status;
}

HELPER void client_upgrade(struct world *w, int fd) {
    char head[1024];
    client_send(w, fd, UPGRADE_REQUEST, sizeof UPGRADE_REQUEST - 1);
    CHECK(client_read_response(w, fd, head, sizeof head) == 101);
    CHECK(strstr(head, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=") != NULL);   // RFC 6455 section 1.3
}

// The id that the reactor gives a client once its handshake is done.
HELPER gw_conn_id client_enter(struct world *w, int fd) {
    const size_t before = world_count(w, GW_EVENT_OPENED);
    client_upgrade(w, fd);
    return world_await(w, GW_EVENT_OPENED, before)->conn;
}

// A client past its handshake, and its id.
HELPER int client_open_sized(struct world *w, gw_conn_id *id, int receive_bytes) {
    const int fd = client_connect_sized(w, receive_bytes);
    const gw_conn_id conn = client_enter(w, fd);
    if (id != NULL) {
        *id = conn;
    }
    return fd;
}

HELPER int client_open(struct world *w, gw_conn_id *id) { return client_open_sized(w, id, 0); }

// Writes a masked frame; first is the whole first byte. Returns its length; out needs length + 14 bytes.
HELPER size_t frame_write(uint8_t *out, uint8_t first, const void *payload, size_t length) {
    static const uint8_t mask[4] = { 0x37, 0xfa, 0x21, 0x3d };
    size_t at = 0;
    out[at++] = first;
    if (length < 126) {
        out[at++] = (uint8_t)(0x80 | length);
    } else if (length < 65536) {
        out[at++] = 0x80 | 126;
        out[at++] = (uint8_t)(length >> 8);
        out[at++] = (uint8_t)length;
    } else {
        out[at++] = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8) {
            out[at++] = (uint8_t)((uint64_t)length >> shift);
        }
    }
    memcpy(out + at, mask, 4);
    at += 4;
    for (size_t i = 0; i < length; i++) {
        out[at + i] = ((const uint8_t *)payload)[i] ^ mask[i % 4];
    }
    return at + length;
}

HELPER void client_send_frame(struct world *w, int fd, uint8_t first, const void *payload, size_t length) {
    uint8_t *frame = malloc(length + 14);
    client_send(w, fd, frame, frame_write(frame, first, payload, length));
    free(frame);
}

struct frame {
    uint8_t first;
    size_t length;
    uint8_t *payload;   // the caller's, room bytes
};

HELPER struct frame client_read_frame(struct world *w, int fd, uint8_t *payload, size_t room) {
    uint8_t head[10];
    client_receive(w, fd, head, 2);
    CHECK((head[1] & 0x80) == 0);
    struct frame frame = { .first = head[0], .length = head[1], .payload = payload };
    const size_t extended = frame.length == 126 ? 2 : frame.length == 127 ? 8 : 0;
    if (extended > 0) {
        client_receive(w, fd, head + 2, extended);
        frame.length = 0;
        for (size_t i = 0; i < extended; i++) {
            frame.length = frame.length << 8 | head[2 + i];
        }
    }
    CHECK(frame.length <= room);
    client_receive(w, fd, payload, frame.length);
    return frame;
}

// The code of the close frame that must come next; 1005 for an empty one.
HELPER int client_read_close(struct world *w, int fd) {
    uint8_t payload[125];
    const struct frame frame = client_read_frame(w, fd, payload, sizeof payload);
    CHECK(frame.first == 0x88);
    CHECK(frame.length != 1);
    return frame.length == 0 ? 1005 : payload[0] << 8 | payload[1];
}

HELPER void client_send_close(struct world *w, int fd, uint16_t code) {
    const uint8_t payload[2] = { (uint8_t)(code >> 8), (uint8_t)code };
    client_send_frame(w, fd, 0x88, payload, sizeof payload);
}

#endif
