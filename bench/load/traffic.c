// The loops that exchange messages: closed, open and fan-out; main.c says what each does.
//
// A message is its number on its connection, then a pattern. A connection has two output buffers: one is filled while
// the kernel sends the other, so that everything a turn has to say is one send.
//   answered <= sent; closed and fan-out: sent <= answered + depth
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"
#include "load.h"
#include "ring.h"
#include "tls.h"

enum { WARM_UP_DIVISOR = 5, DRAIN_S = 10, PLAIN_BYTES = 64 * 1024, OPEN_WINDOW = 64, ACCEPT_US = 300000 };

struct connection {
    struct link link;
    uint64_t sent, answered;  // messages
    size_t matched;           // payload bytes of the answer under way
    uint64_t payload_left;
    uint8_t header[WS_HEADER_BYTES_MAX];
    size_t header_bytes;
    uint64_t *sent_at;        // by message modulo window; only who sends has one
    uint8_t *filling, *sending;
    size_t filled_bytes, sending_bytes, taken_bytes;
    const uint8_t *on_the_way;
};

static struct connection *connections;
static size_t message_bytes;
static uint8_t *pattern;      // what a message holds after its number
static uint8_t *message;
static struct histogram latencies;
static uint64_t answers, deliveries;  // since the warm-up, and in all
static unsigned senders, window;
static int open_loop, fan_out, draining;
static uint64_t open_began, open_next;  // the open loop: its start, and the number of the next message over all

static _Noreturn void no_memory(void) {
    die("out of memory");
}

// The moment when the open loop's message `of_all` was to be sent; the connections take turns.
static uint64_t due_at(uint64_t of_all) {
    return open_began + (uint64_t)((double)of_all * 1e9 / settings.rate);
}

static uint64_t next_due(unsigned index) {
    return due_at(connections[index].sent * settings.connections + index);
}

static void flush(unsigned index) {
    struct connection *c = &connections[index];
    if (c->sending_bytes > 0 || c->filled_bytes == 0) {
        return;
    }
    uint8_t *full = c->filling;
    c->filling = c->sending;
    c->sending = full;
    c->on_the_way = full;
    c->sending_bytes = c->filled_bytes;
    c->filled_bytes = 0;
    c->taken_bytes = 0;
    if (c->link.tls != NULL) {
        tls_write(c->link.tls, full, c->sending_bytes);
        c->sending_bytes = tls_pending(c->link.tls, &c->on_the_way);
    }
    ring_send(index, c->link.fd, c->on_the_way, c->sending_bytes);
}

static void queue_one(struct connection *c, uint64_t now) {
    memcpy(message, &c->sent, message_bytes < sizeof c->sent ? message_bytes : sizeof c->sent);
    if (settings.raw) {
        memcpy(c->filling + c->filled_bytes, message, message_bytes);
        c->filled_bytes += message_bytes;
    } else {
        c->filled_bytes += ws_frame(c->filling + c->filled_bytes, WS_BINARY, message, message_bytes);
    }
    c->sent_at[c->sent++ % window] = now;
}

// A fan-out's messages have been answered when the slowest has them; the deliveries of all say when that may be.
static uint64_t answered_by_all(const struct connection *c) {
    if (!fan_out) {
        return c->answered;
    }
    uint64_t least = UINT64_MAX;
    for (unsigned i = 0; i < settings.connections; i++) {
        least = connections[i].answered < least ? connections[i].answered : least;
    }
    return least;
}

static void fill(unsigned index, uint64_t now) {
    struct connection *c = &connections[index];
    if (!draining && index < senders) {
        const uint64_t until = answered_by_all(c) + window;
        while (c->sent < until) {
            queue_one(c, now);
        }
    }
    flush(index);
}

static void catch_up(unsigned index, uint64_t now) {
    struct connection *c = &connections[index];
    while (!draining && c->sent < c->answered + window && next_due(index) <= now) {
        queue_one(c, next_due(index));
    }
    flush(index);
}

// Sends what is due, a connection after the other. One whose window is full gets its message when answers have made
// room, and its latency still counts from when that was due. Returns when the next one is due.
static uint64_t send_due(uint64_t now) {
    while (due_at(open_next) <= now) {
        catch_up((unsigned)(open_next++ % settings.connections), now);
    }
    return due_at(open_next);
}

// Compares the next `length` bytes of the answer under way; the answer may come in pieces.
static void match(struct connection *c, const uint8_t *data, size_t length) {
    size_t done = 0;
    while (done < length && c->matched + done < sizeof c->answered) {
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

static void answered(unsigned index, uint64_t now) {
    struct connection *c = &connections[index];
    const struct connection *source = fan_out ? &connections[0] : c;
    if (c->matched != message_bytes || c->answered == source->sent) {
        die("answer %llu has a wrong length, or was not asked for", (unsigned long long)c->answered);
    }
    histogram_add(&latencies, now - source->sent_at[c->answered % window]);
    c->answered++;
    c->matched = 0;
    answers++;
    deliveries++;
}

// Returns the bytes of the header that were in data.
static size_t take_header(struct connection *c, const uint8_t *data, size_t length) {
    const size_t had = c->header_bytes;
    const size_t room = sizeof c->header - had;
    memcpy(c->header + had, data, length < room ? length : room);
    uint8_t opcode;
    const int header = ws_header(c->header, had + (length < room ? length : room), &opcode, &c->payload_left);
    if (header < 0 || (header > 0 && (opcode != WS_BINARY || c->payload_left != settings.size))) {
        die("an unexpected frame arrived");
    }
    c->header_bytes = header == 0 ? had + length : 0;
    return header == 0 ? length : (size_t)header - had;
}

static void parse(unsigned index, const uint8_t *data, size_t length, uint64_t now) {
    struct connection *c = &connections[index];
    while (length > 0) {
        if (c->payload_left == 0) {
            if (!settings.raw) {
                const size_t header = take_header(c, data, length);
                data += header;
                length -= header;
            } else {
                c->payload_left = message_bytes;
            }
        }
        const size_t part = length < c->payload_left ? length : (size_t)c->payload_left;
        if (part > 0) {
            match(c, data, part);
            c->payload_left -= part;
            data += part;
            length -= part;
            if (c->payload_left == 0) {
                answered(index, now);
            }
        }
    }
}

static void received(unsigned index, const uint8_t *data, int result) {
    struct connection *c = &connections[index];
    if (result <= 0) {
        die("the server closed a connection: %s", result == 0 ? "end of stream" : strerror(-result));
    }
    const uint64_t now = clock_ns();
    if (c->link.tls == NULL) {
        parse(index, data, (size_t)result, now);
    } else {
        static uint8_t plain[PLAIN_BYTES];
        tls_received(c->link.tls, data, (size_t)result);
        for (size_t bytes; (bytes = tls_read(c->link.tls, plain, sizeof plain)) > 0;) {
            parse(index, plain, bytes, now);
        }
    }
    if (open_loop) {
        catch_up(index, now);
    } else if (!fan_out) {
        fill(index, now);
    } else if (deliveries % settings.connections == 0) {
        // The sender of a fan-out goes on when all have what it sent.
        fill(0, now);
    }
}

static void sent(unsigned index, int result) {
    struct connection *c = &connections[index];
    if (result <= 0) {
        die("send: %s", strerror(-result));
    }
    c->taken_bytes += (size_t)result;
    if (c->taken_bytes < c->sending_bytes) {
        ring_send(index, c->link.fd, c->on_the_way + c->taken_bytes, c->sending_bytes - c->taken_bytes);
        return;
    }
    if (c->link.tls != NULL) {
        tls_sent(c->link.tls);
    }
    c->sending_bytes = 0;
    flush(index);
}

static void handle(const struct ring_event *event) {
    if (event->operation == RING_RECEIVED) {
        received(event->index, event->data, event->result);
    } else if (event->operation == RING_SENT) {
        sent(event->index, event->result);
    }
}

// Until `until`, or until `messages` have been answered (0: no limit).
static void turn_until(uint64_t until, uint64_t messages) {
    while (messages > 0 ? answers < messages : clock_ns() < until) {
        ring_turn(open_loop ? send_due(clock_ns()) : clock_ns() + 100000000, handle);
    }
}

static void drain(void) {
    const uint64_t until = clock_ns() + DRAIN_S * 1000000000ull;
    draining = 1;
    for (;;) {
        uint64_t missing = 0;
        for (unsigned i = 0; i < settings.connections; i++) {
            missing += connections[fan_out ? 0 : i].sent - connections[i].answered;
        }
        if (missing == 0) {
            return;
        }
        if (clock_ns() > until) {
            die("%llu messages were not answered", (unsigned long long)missing);
        }
        ring_turn(clock_ns() + 10000000, handle);
    }
}

static void start(void) {
    const size_t room = window * (WS_HEADER_BYTES_MAX + message_bytes);
    connections = calloc(settings.connections, sizeof *connections);
    if (connections == NULL) {
        no_memory();
    }
    for (unsigned i = 0; i < settings.connections; i++) {
        struct connection *c = &connections[i];
        const int error = link_open(&c->link, i);
        if (error < 0) {
            die("connection %u: %s", i, strerror(-error));
        }
        if (i < senders) {
            c->sent_at = calloc(window, sizeof *c->sent_at);
            c->filling = malloc(room);
            c->sending = malloc(room);
            if (c->sent_at == NULL || c->filling == NULL || c->sending == NULL) {
                no_memory();
            }
        }
        ring_receive(i, c->link.fd);
    }
    if (settings.raw && fan_out) {
        // A raw server does not say that it has accepted, and what it sends to all would miss the last.
        usleep(ACCEPT_US);
    }
    open_began = clock_ns();
    for (unsigned i = 0; i < senders && !open_loop; i++) {
        fill(i, clock_ns());
    }
}

static void set_up(void) {
    if (strcmp(settings.loop, "closed") != 0 && strcmp(settings.loop, "open") != 0
        && strcmp(settings.loop, "fanout") != 0) {
        die("--loop: there is no %s", settings.loop);
    }
    open_loop = settings.loop[0] == 'o';
    fan_out = settings.loop[0] == 'f';
    senders = fan_out ? 1 : settings.connections;
    window = open_loop ? OPEN_WINDOW : settings.depth;
    // Raw messages are longer by what a masked frame's header takes.
    message_bytes = settings.size;
    if (settings.raw) {
        message_bytes += 6 + (settings.size < 126 ? 0 : settings.size < 65536 ? 2 : 8);
    }
    pattern = malloc(message_bytes);
    message = malloc(message_bytes);
    if (pattern == NULL || message == NULL) {
        no_memory();
    }
    for (size_t i = 0; i < message_bytes; i++) {
        pattern[i] = message[i] = (uint8_t)(i * 131 + 7);
    }
    ring_create(settings.connections);
}

static struct usage mark(void) {
    if (settings.mark && settings.server > 0) {
        kill(settings.server, SIGUSR1);
    }
    return process_usage(settings.server);
}

int traffic_run(void) {
    set_up();
    start();
    const uint64_t length_ns = (uint64_t)(settings.seconds * 1e9);
    if (settings.messages == 0) {
        turn_until(clock_ns() + length_ns / WARM_UP_DIVISOR, 0);
        memset(&latencies, 0, sizeof latencies);
        answers = 0;
    }
    const struct usage before = mark();
    const uint64_t began = clock_ns();
    turn_until(began + length_ns, settings.messages);
    const double took = (double)(clock_ns() - began) / 1e9;
    const struct usage after = mark();
    const uint64_t counted = answers;
    printf("{\"loop\":\"%s\",\"raw\":%d,\"tls\":%d,\"connections\":%u,\"depth\":%u,\"bytes\":%zu,\"rate\":%u,"
           "\"seconds\":%.3f,\"messages\":%llu,\"messages_per_s\":%.0f,\"p50_us\":%.1f,\"p99_us\":%.1f,"
           "\"p999_us\":%.1f,\"max_us\":%.1f,\"server_cpu_us\":%.4f}\n",
           settings.loop, settings.raw, settings.tls, settings.connections, settings.depth, settings.size,
           open_loop ? settings.rate : 0, took, (unsigned long long)counted, (double)counted / took,
           histogram_us(&latencies, 0.5), histogram_us(&latencies, 0.99), histogram_us(&latencies, 0.999),
           (double)latencies.max / 1000,
           counted ? (double)(after.cpu_ns - before.cpu_ns) / 1000 / (double)counted : 0.0);
    drain();
    return 0;
}
