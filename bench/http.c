// See http.h.
//   in use + idle = connections; a request waits only while no connection is idle
#define _GNU_SOURCE
#include "http.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "client.h"

enum { EVENTS = 256, INPUT_BYTES = 512 * 1024, REQUEST_BYTES_MAX = 4096 };

struct connection {
    struct http_pool *pool;
    int fd;
    struct http_request request;  // the one under way
    char *input;                  // INPUT_BYTES, and room for a NUL
    size_t filled;
    size_t head_bytes, body_bytes;  // of the answer, once its head has come
};

struct http_pool {
    uint16_t port;
    http_answered *answered;
    struct connection *connections;
    unsigned connections_count;
    struct connection **idle;
    unsigned idle_count;
    struct http_request *waiting;  // a ring
    size_t waiting_first, waiting_count, waiting_room;
};

static int poller = -1;

static void write_request(struct connection *c) {
    char text[REQUEST_BYTES_MAX];
    const struct http_request *request = &c->request;
    const size_t body_bytes = strlen(request->body);
    char length_line[64] = "";
    if (body_bytes > 0) {
        snprintf(length_line, sizeof length_line, "Content-Type: application/json\r\nContent-Length: %zu\r\n", body_bytes);
    }
    const int length = snprintf(text, sizeof text, "%s %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n%s%s%s%s\r\n%s",
                                request->method, request->path, c->pool->port,
                                request->token ? "Authorization: Bearer " : "", request->token ? request->token : "",
                                request->token ? "\r\n" : "", length_line, request->body);
    // The socket has taken the whole of the request before this one, so there is room for another.
    if (length >= (int)sizeof text || send(c->fd, text, (size_t)length, MSG_NOSIGNAL) != length) {
        die("HTTP: %s %s can't be sent", request->method, request->path);
    }
}

static void begin(struct connection *c, const struct http_request *request) {
    c->request = *request;
    c->filled = c->head_bytes = 0;
    write_request(c);
}

void http_send(struct http_pool *pool, const struct http_request *request) {
    if (pool->idle_count > 0 && pool->waiting_count == 0) {
        begin(pool->idle[--pool->idle_count], request);
        return;
    }
    if (pool->waiting_count == pool->waiting_room) {
        const size_t room = pool->waiting_room > 0 ? 2 * pool->waiting_room : 256;
        struct http_request *grown = malloc(room * sizeof *grown);
        if (grown == NULL) {
            die("out of memory");
        }
        for (size_t i = 0; i < pool->waiting_count; i++) {
            grown[i] = pool->waiting[(pool->waiting_first + i) % pool->waiting_room];
        }
        free(pool->waiting);
        pool->waiting = grown;
        pool->waiting_first = 0;
        pool->waiting_room = room;
    }
    pool->waiting[(pool->waiting_first + pool->waiting_count++) % pool->waiting_room] = *request;
}

size_t http_unanswered(const struct http_pool *pool) {
    return pool->waiting_count + pool->connections_count - pool->idle_count;
}

// Returns 0 while the head is not whole.
static int read_head(struct connection *c) {
    c->input[c->filled] = '\0';
    const char *end = strstr(c->input, "\r\n\r\n");
    if (end == NULL) {
        return 0;
    }
    const char *length = strcasestr(c->input, "\r\ncontent-length:");
    if (strncmp(c->input, "HTTP/1.1 ", 9) != 0 || length == NULL || length > end) {
        die("HTTP: %s: an answer without a length: %.60s", c->request.path, c->input);
    }
    c->head_bytes = (size_t)(end + 4 - c->input);
    c->body_bytes = strtoul(strchr(length + 2, ':') + 1, NULL, 10);
    if (c->head_bytes + c->body_bytes > INPUT_BYTES) {
        die("HTTP: %s: an answer of %zu bytes", c->request.path, c->body_bytes);
    }
    return 1;
}

static void finish(struct connection *c) {
    struct http_pool *pool = c->pool;
    const struct http_request answered = c->request;
    pool->idle[pool->idle_count++] = c;
    // What the callback sends may go out on this connection, but reads no answer before the next turn.
    c->input[c->head_bytes + c->body_bytes] = '\0';
    pool->answered(pool, &answered, atoi(c->input + 9), c->input + c->head_bytes, c->body_bytes);
    if (pool->waiting_count > 0 && pool->idle_count > 0) {
        begin(pool->idle[--pool->idle_count], &pool->waiting[pool->waiting_first]);
        pool->waiting_first = (pool->waiting_first + 1) % pool->waiting_room;
        pool->waiting_count--;
    }
}

static void receive(struct connection *c) {
    const ssize_t received = recv(c->fd, c->input + c->filled, INPUT_BYTES - c->filled, MSG_DONTWAIT);
    if (received < 0 && errno == EAGAIN) {
        return;
    }
    if (received <= 0) {
        die("HTTP: the server closed a connection during %s: %s", c->request.path,
            received == 0 ? "end of stream" : strerror(errno));
    }
    c->filled += (size_t)received;
    if (c->head_bytes == 0 && !read_head(c)) {
        return;
    }
    if (c->filled >= c->head_bytes + c->body_bytes) {
        finish(c);
    }
}

void http_turn(uint64_t timeout_ns) {
    struct epoll_event events[EVENTS];
    const struct timespec timeout = {
        .tv_sec = (time_t)(timeout_ns / 1000000000u), .tv_nsec = (long)(timeout_ns % 1000000000u),
    };
    const int count = epoll_pwait2(poller, events, EVENTS, &timeout, NULL);
    for (int i = 0; i < count; i++) {
        receive(events[i].data.ptr);
    }
}

struct http_pool *http_open(uint16_t port, unsigned connections, http_answered *answered) {
    if (poller < 0) {
        poller = epoll_create1(EPOLL_CLOEXEC);
    }
    struct http_pool *pool = calloc(1, sizeof *pool);
    if (pool == NULL) {
        die("out of memory");
    }
    pool->port = port;
    pool->answered = answered;
    pool->connections_count = connections;
    pool->connections = calloc(connections, sizeof *pool->connections);
    pool->idle = calloc(connections, sizeof *pool->idle);
    for (unsigned i = 0; i < connections; i++) {
        struct connection *c = &pool->connections[i];
        c->pool = pool;
        c->fd = tcp_connect(port, i);
        c->input = malloc(INPUT_BYTES + 1);
        if (c->fd < 0 || c->input == NULL) {
            die("HTTP: connection %u: %s", i, c->fd < 0 ? strerror(-c->fd) : "out of memory");
        }
        struct epoll_event event = { .events = EPOLLIN, .data.ptr = c };
        epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event);
        pool->idle[pool->idle_count++] = c;
    }
    return pool;
}

void http_close(struct http_pool *pool) {
    for (unsigned i = 0; i < pool->connections_count; i++) {
        close(pool->connections[i].fd);
        free(pool->connections[i].input);
    }
    free(pool->connections);
    free(pool->idle);
    free(pool->waiting);
    free(pool);
}
