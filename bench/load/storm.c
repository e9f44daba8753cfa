// Connect storm: opens `connections` connections, `concurrency` at a time, each through TCP, TLS if asked for and the
// WebSocket's opening, and closes each when it is open. What is measured is opening: connections a second, the time
// each took, and the server's CPU for one (its close included).
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "load.h"
#include "ring.h"
#include "tls.h"

// A place in which one attempt after the other is made. Receives of an attempt end before its place is taken again:
// the server's side is shut down first, and the next attempt starts with the end of the stream.
struct attempt {
    int fd;
    struct ssl_st *tls;
    int secured, opened;
    uint64_t began;
    size_t answer_bytes;
    char answer[WS_ANSWER_BYTES_MAX + 1];
    char request[512];
};

static struct attempt *attempts;
static struct histogram openings;
static struct sockaddr_in server_address;
static unsigned started, opened, failed, ended;

static void begin(unsigned place) {
    struct attempt *a = &attempts[place];
    if (started == settings.connections) {
        return;
    }
    memset(a, 0, offsetof(struct attempt, answer));
    a->fd = tcp_socket(started++);
    if (a->fd < 0) {
        die("socket: %s", strerror(-a->fd));
    }
    a->began = clock_ns();
    ring_connect(place, a->fd, (const struct sockaddr *)&server_address, sizeof server_address);
}

static void end(unsigned place) {
    struct attempt *a = &attempts[place];
    failed += !a->opened;
    ended++;
    if (a->tls != NULL) {
        tls_destroy(a->tls);
    }
    close(a->fd);
    begin(place);
}

static void flush(unsigned place) {
    const uint8_t *data;
    const size_t bytes = tls_pending(attempts[place].tls, &data);
    if (bytes > 0) {
        ring_send(place, attempts[place].fd, data, bytes);
    }
}

static void ask(unsigned place) {
    struct attempt *a = &attempts[place];
    const size_t bytes = ws_request(a->request, sizeof a->request, settings.port, settings.path, NULL);
    if (a->tls != NULL) {
        tls_write(a->tls, (const uint8_t *)a->request, bytes);
        flush(place);
    } else {
        ring_send(place, a->fd, (const uint8_t *)a->request, bytes);
    }
}

static void connected(unsigned place, int result) {
    struct attempt *a = &attempts[place];
    if (result < 0) {
        end(place);
        return;
    }
    ring_receive(place, a->fd);
    if (settings.tls) {
        a->tls = tls_create();
        (void)tls_handshake(a->tls);
        flush(place);
    } else {
        ask(place);
    }
}

static void take_answer(unsigned place, const uint8_t *data, size_t bytes) {
    struct attempt *a = &attempts[place];
    const size_t room = WS_ANSWER_BYTES_MAX - a->answer_bytes;
    bytes = bytes < room ? bytes : room;
    memcpy(a->answer + a->answer_bytes, data, bytes);
    a->answer_bytes += bytes;
    a->answer[a->answer_bytes] = '\0';
    const int good = ws_answer(a->answer);
    if (good != 0) {
        a->opened = good > 0;
        opened += good > 0;
        histogram_add(&openings, clock_ns() - a->began);
        shutdown(a->fd, SHUT_RDWR);
    }
}

static void received(unsigned place, const uint8_t *data, int result) {
    struct attempt *a = &attempts[place];
    if (result <= 0) {
        end(place);
        return;
    }
    if (a->opened) {
        return;
    }
    if (a->tls == NULL) {
        take_answer(place, data, (size_t)result);
        return;
    }
    tls_received(a->tls, data, (size_t)result);
    if (!a->secured) {
        a->secured = tls_handshake(a->tls);
        if (!a->secured) {
            return;
        }
        // The client's last flight and the request leave together.
        ask(place);
    }
    uint8_t plain[WS_ANSWER_BYTES_MAX];
    const size_t bytes = tls_read(a->tls, plain, sizeof plain);
    if (bytes > 0) {
        take_answer(place, plain, bytes);
    }
}

static void handle(const struct ring_event *event) {
    switch (event->operation) {
    case RING_CONNECTED: connected(event->index, event->result); break;
    case RING_RECEIVED: received(event->index, event->data, event->result); break;
    case RING_SENT:
        if (attempts[event->index].tls != NULL && event->result > 0) {
            tls_sent(attempts[event->index].tls);
        }
        break;
    case RING_CLOSED: break;
    }
}

int storm_run(void) {
    server_address = (struct sockaddr_in){ .sin_family = AF_INET, .sin_port = htons(settings.port) };
    server_address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    attempts = calloc(settings.concurrency, sizeof *attempts);
    if (attempts == NULL) {
        die("out of memory");
    }
    ring_create(settings.concurrency);
    const struct usage before = process_usage(settings.server);
    const uint64_t start = clock_ns(), until = start + (uint64_t)(settings.seconds * 1e9);
    for (unsigned i = 0; i < settings.concurrency; i++) {
        begin(i);
    }
    while (ended < settings.connections && clock_ns() < until) {
        ring_turn(until, handle);
    }
    const double took = (double)(clock_ns() - start) / 1e9;
    const struct usage after = process_usage(settings.server);
    const unsigned refused = settings.connections - opened;
    printf("{\"loop\":\"storm\",\"tls\":%d,\"connections\":%u,\"concurrency\":%u,\"opened\":%u,\"refused\":%u,"
           "\"seconds\":%.3f,\"openings_per_s\":%.0f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,"
           "\"server_cpu_us\":%.3f}\n",
           settings.tls, settings.connections, settings.concurrency, opened, refused, took, opened / took,
           histogram_us(&openings, 0.5), histogram_us(&openings, 0.99), histogram_us(&openings, 0.999),
           opened ? (double)(after.cpu_ns - before.cpu_ns) / 1000 / opened : 0.0);
    return refused == 0 ? 0 : 1;
}
