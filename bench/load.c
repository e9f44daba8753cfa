// A closed-loop load generator for echo servers: C connections, each with D messages of S bytes in flight; every
// answer is compared with what was sent, byte by byte. Prints one line of JSON. One thread, epoll.
//
//   load --port N [--connections C] [--depth D] [--size S] [--seconds T] [--messages M] [--mode ws|raw]
//        [--path /ws] [--server-pid P] [--hold]
//
// raw speaks bare TCP with as many bytes a message as a masked frame has. --messages ends a run after M messages
// instead of T seconds. --hold opens C WebSockets, says how many there are and what the server's memory grew by,
// and keeps them until its standard input ends. Exit status: 0 when every connection opened and every answer was
// right.
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "client.h"

enum { EVENTS = 512, INPUT_BYTES = 256 * 1024, WARM_UP_DIVISOR = 5 };

struct options {
    uint16_t port;
    unsigned connections, depth;
    size_t size;
    double seconds;
    uint64_t messages;
    int raw, hold;
    const char *path;
    pid_t server;
};

struct connection {
    int fd;
    uint64_t sent, answered;  // messages; answered <= sent <= answered + depth
    size_t matched;           // payload bytes of the answer under way
    uint64_t payload_left;
    uint8_t header[WS_HEADER_BYTES_MAX];
    size_t header_bytes;
    uint64_t *sent_at;        // by message modulo depth
    uint8_t *output;          // room for depth messages
    size_t output_bytes;
};

static struct options options = { .connections = 100, .depth = 1, .size = 16, .seconds = 5, .path = "/ws" };
static uint8_t *pattern;      // what a message holds after its number
static uint8_t *message;
static struct histogram latencies;
static uint64_t answers;
static int poller;

// A message is its number, then the pattern. Raw messages are longer by what a masked frame's header takes.
static size_t message_bytes(void) {
    if (!options.raw) {
        return options.size;
    }
    return options.size + 6 + (options.size < 126 ? 0 : options.size < 65536 ? 2 : 8);
}

static void fill(struct connection *c, uint64_t now) {
    const size_t bytes = message_bytes();
    while (c->sent < c->answered + options.depth) {
        memcpy(message, &c->sent, bytes < sizeof c->sent ? bytes : sizeof c->sent);
        if (options.raw) {
            memcpy(c->output + c->output_bytes, message, bytes);
            c->output_bytes += bytes;
        } else {
            c->output_bytes += ws_frame(c->output + c->output_bytes, WS_BINARY, message, bytes);
        }
        c->sent_at[c->sent++ % options.depth] = now;
    }
}

static void flush(struct connection *c) {
    if (c->output_bytes == 0) {
        return;
    }
    const ssize_t count = send(c->fd, c->output, c->output_bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno != EAGAIN) {
        die("send: %s", strerror(errno));
    }
    const size_t taken = count > 0 ? (size_t)count : 0;
    c->output_bytes -= taken;
    memmove(c->output, c->output + taken, c->output_bytes);
    // Edge-triggered: a socket with something left becomes writable once more.
}

// Compares the next `length` bytes of the answer under way; the answer may come in pieces.
static void match(struct connection *c, const uint8_t *data, size_t length) {
    const size_t number_bytes = sizeof c->answered;
    size_t done = 0;
    while (done < length && c->matched + done < number_bytes) {
        if (data[done] != (uint8_t)(c->answered >> (8 * (c->matched + done)))) {
            die("answer %llu has a wrong number", (unsigned long long)c->answered);
        }
        done++;
    }
    if (memcmp(data + done, pattern + c->matched + done, length - done) != 0) {
        die("answer %llu differs from what was sent", (unsigned long long)c->answered);
    }
    c->matched += length;
}

static void answered(struct connection *c, uint64_t now) {
    if (c->matched != message_bytes() || c->answered == c->sent) {
        die("answer %llu has a wrong length", (unsigned long long)c->answered);
    }
    histogram_add(&latencies, now - c->sent_at[c->answered % options.depth]);
    c->answered++;
    c->matched = 0;
    answers++;
}

// Returns the bytes of the header that were in data.
static size_t take_header(struct connection *c, const uint8_t *data, size_t length) {
    const size_t had = c->header_bytes;
    const size_t room = sizeof c->header - had;
    memcpy(c->header + had, data, length < room ? length : room);
    uint8_t opcode;
    const int header = ws_header(c->header, had + (length < room ? length : room), &opcode, &c->payload_left);
    if (header < 0 || (header > 0 && (opcode != WS_BINARY || c->payload_left != options.size))) {
        die("an unexpected frame arrived");
    }
    c->header_bytes = header == 0 ? had + length : 0;
    return header == 0 ? length : (size_t)header - had;
}

static void parse(struct connection *c, const uint8_t *data, size_t length, uint64_t now) {
    while (length > 0) {
        if (c->payload_left == 0) {
            if (!options.raw) {
                const size_t header = take_header(c, data, length);
                data += header;
                length -= header;
            } else {
                c->payload_left = message_bytes();
            }
        }
        const size_t part = length < c->payload_left ? length : (size_t)c->payload_left;
        if (part > 0) {
            match(c, data, part);
            c->payload_left -= part;
            data += part;
            length -= part;
            if (c->payload_left == 0) {
                answered(c, now);
            }
        }
    }
}

static void ready(struct connection *c, uint32_t events, int sending) {
    static uint8_t input[INPUT_BYTES];
    if (events & EPOLLIN) {
        for (ssize_t count = sizeof input; count == sizeof input;) {
            count = recv(c->fd, input, sizeof input, MSG_DONTWAIT);
            if (count == 0 || (count < 0 && errno != EAGAIN)) {
                die("the server closed a connection: %s", count == 0 ? "end of stream" : strerror(errno));
            }
            if (count > 0) {
                parse(c, input, (size_t)count, clock_ns());
            }
        }
        if (sending) {
            fill(c, clock_ns());
        }
    }
    flush(c);
}

static int open_one(unsigned index) {
    return options.raw ? tcp_connect(options.port, index) : ws_connect(options.port, index, options.path, NULL);
}

static void start(struct connection *c, unsigned index) {
    c->fd = open_one(index);
    if (c->fd < 0) {
        die("connection %u: %s", index, strerror(-c->fd));
    }
    make_nonblocking(c->fd);
    c->sent_at = calloc(options.depth, sizeof *c->sent_at);
    c->output = malloc(options.depth * (WS_HEADER_BYTES_MAX + options.size));
    if (c->sent_at == NULL || c->output == NULL) {
        die("out of memory");
    }
    struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c };
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event);
}

// Until `until`, or until `messages` have been answered (0: no limit); then, if draining, until nothing is in flight.
static void turn_until(const struct connection *connections, uint64_t until, uint64_t messages, int draining) {
    for (;;) {
        struct epoll_event events[EVENTS];
        const int sending = !draining;
        const int count = epoll_wait(poller, events, EVENTS, 100);
        for (int i = 0; i < count; i++) {
            ready(events[i].data.ptr, events[i].events, sending);
        }
        if (draining) {
            uint64_t in_flight = 0;
            for (unsigned i = 0; i < options.connections; i++) {
                in_flight += connections[i].sent - connections[i].answered;
            }
            if (in_flight == 0) {
                return;
            }
            if (clock_ns() > until) {
                die("%llu messages were not answered", (unsigned long long)in_flight);
            }
        } else if (messages > 0 ? answers >= messages : clock_ns() >= until) {
            return;
        }
    }
}

static int run(void) {
    struct connection *connections = calloc(options.connections, sizeof *connections);
    for (unsigned i = 0; i < options.connections; i++) {
        start(&connections[i], i);
    }
    for (unsigned i = 0; i < options.connections; i++) {
        fill(&connections[i], clock_ns());
        flush(&connections[i]);
    }
    const uint64_t length_ns = (uint64_t)(options.seconds * 1e9);
    if (options.messages == 0) {
        turn_until(connections, clock_ns() + length_ns / WARM_UP_DIVISOR, 0, 0);
        memset(&latencies, 0, sizeof latencies);
        answers = 0;
    }
    const struct usage before = process_usage(options.server);
    const uint64_t began = clock_ns();
    turn_until(connections, began + length_ns, options.messages, 0);
    const double took = (double)(clock_ns() - began) / 1e9;
    const struct usage after = process_usage(options.server);
    const uint64_t counted = answers;
    printf("{\"mode\":\"%s\",\"connections\":%u,\"depth\":%u,\"bytes\":%zu,\"seconds\":%.3f,\"messages\":%llu,"
           "\"messages_per_s\":%.0f,\"p50_us\":%.1f,\"p99_us\":%.1f,\"p999_us\":%.1f,\"server_cpu_us\":%.4f}\n",
           options.raw ? "raw" : "ws", options.connections, options.depth, options.size, took,
           (unsigned long long)counted, (double)counted / took, histogram_us(&latencies, 0.5),
           histogram_us(&latencies, 0.99), histogram_us(&latencies, 0.999),
           counted ? (double)(after.cpu_ns - before.cpu_ns) / 1000 / (double)counted : 0.0);
    turn_until(connections, clock_ns() + 5000000000u, 0, 1);
    return 0;
}

// Waits for standard input to end, then looks which connections the server has ended meanwhile.
static unsigned wait_and_count(const int *fds, unsigned count) {
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    unsigned alive = 0;
    for (unsigned i = 0; i < count; i++) {
        alive += recv(fds[i], &byte, 1, MSG_DONTWAIT | MSG_PEEK) < 0 && errno == EAGAIN;
    }
    return alive;
}

static int hold(void) {
    int *fds = calloc(options.connections, sizeof *fds);
    unsigned opened = 0;
    int error = 0;
    const struct usage before = process_usage(options.server);
    const uint64_t began = clock_ns();
    for (unsigned i = 0; i < options.connections; i++) {
        const int fd = open_one(i);
        if (fd < 0) {
            error = fd;
        } else {
            fds[opened++] = fd;
        }
    }
    const double took = (double)(clock_ns() - began) / 1e9;
    const struct usage after = process_usage(options.server);
    if (error < 0) {
        fprintf(stderr, "load: the last refusal: %s\n", strerror(-error));
    }
    printf("{\"mode\":\"hold\",\"connections\":%u,\"opened\":%u,\"refused\":%u,\"seconds\":%.3f,"
           "\"resident_before\":%llu,\"resident_after\":%llu,\"bytes_per_connection\":%.0f}\n",
           options.connections, opened, options.connections - opened, took,
           (unsigned long long)before.resident_bytes, (unsigned long long)after.resident_bytes,
           opened ? ((double)after.resident_bytes - (double)before.resident_bytes) / opened : 0.0);
    fflush(stdout);
    const unsigned alive = wait_and_count(fds, opened);
    printf("{\"mode\":\"held\",\"alive\":%u}\n", alive);
    return alive == options.connections ? 0 : 1;
}

static void parse_options(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        const char *name = argv[i];
        if (strcmp(name, "--hold") == 0) {
            options.hold = 1;
            continue;
        }
        const char *value = i + 1 < argc ? argv[++i] : "";
        if (strcmp(name, "--port") == 0) {
            options.port = (uint16_t)atoi(value);
        } else if (strcmp(name, "--connections") == 0) {
            options.connections = (unsigned)atoi(value);
        } else if (strcmp(name, "--depth") == 0) {
            options.depth = (unsigned)atoi(value);
        } else if (strcmp(name, "--size") == 0) {
            options.size = (size_t)atol(value);
        } else if (strcmp(name, "--seconds") == 0) {
            options.seconds = atof(value);
        } else if (strcmp(name, "--messages") == 0) {
            options.messages = (uint64_t)atoll(value);
        } else if (strcmp(name, "--path") == 0) {
            options.path = value;
        } else if (strcmp(name, "--server-pid") == 0) {
            options.server = (pid_t)atoi(value);
        } else if (strcmp(name, "--mode") == 0 && (strcmp(value, "ws") == 0 || strcmp(value, "raw") == 0)) {
            options.raw = strcmp(value, "raw") == 0;
        } else {
            die("unknown option %s", name);
        }
    }
    if (options.port == 0 || options.connections == 0 || options.depth == 0 || options.size == 0) {
        die("--port is missing, or a number is 0");
    }
}

int main(int argc, char **argv) {
    parse_options(argc, argv);
    pattern = malloc(message_bytes());
    message = malloc(message_bytes());
    if (pattern == NULL || message == NULL) {
        die("out of memory");
    }
    for (size_t i = 0; i < message_bytes(); i++) {
        pattern[i] = message[i] = (uint8_t)(i * 131 + 7);
    }
    poller = epoll_create1(EPOLL_CLOEXEC);
    return options.hold ? hold() : run();
}
