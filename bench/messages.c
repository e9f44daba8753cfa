// Load for `ringway serve`: logged-in sessions, and durable messages between pairs of friends. Every message carries
// its number and the time it was due, so that a lost, doubled or reordered one is seen. One thread, epoll. Prints a
// line of JSON a phase.
//
//   messages --http-port N --ws-port N [--server-pid P] [--pairs 50] [--sessions 5000]
//            [--rate 2000] [--seconds 20] [--window 16] [--closed-seconds 10]
//
// Phases: `sessions` opens that many more WebSockets with the pairs' tokens and looks at the server's memory;
// `open` sends at a fixed rate, whatever the answers do, and counts a message's time from when it was due;
// `closed` keeps `window` unanswered messages a sender; `calls` keeps CALLS unanswered calls of what clients read most,
// their profile and their friends, for as long. Exit status: 0 when nothing was refused, lost, doubled or out of order.
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "accounts.h"
#include "client.h"
#include "options.h"

enum {
    EVENTS = 256,
    INPUT_BYTES = 64 * 1024,
    TEXT_BYTES_MAX = 4096,
    ACK_EVERY = 256,
    DRAIN_S = 15,
    CALLS = 4,
};

struct options {
    uint16_t http_port, ws_port;
    pid_t server;
    unsigned pairs, sessions, rate, window;
    double seconds, closed_seconds;
};

struct client {
    int fd;
    struct account account;
    struct client *friend;
    int welcomed;
    uint64_t last_seq, unacknowledged;
    uint64_t sent, answered, received;  // messages to the friend; those the log took; those from the friend
    uint8_t *input, *output;
    size_t input_bytes, output_bytes, output_room;
};

static struct options options = {
    .pairs = 50, .sessions = 5000, .rate = 2000, .window = 16, .seconds = 20, .closed_seconds = 10,
};
static struct client *clients;
static unsigned clients_count;
static int poller;
static int refilling;  // the closed loop: an answer makes room for the next message
static int recalling;  // the same for calls
static struct histogram to_sent, to_event, to_reply;
static uint64_t refused, disordered, gaps, called, replied;

static void flush(struct client *c) {
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
}

static void queue(struct client *c, uint8_t opcode, const char *text, size_t length) {
    const size_t needed = c->output_bytes + WS_HEADER_BYTES_MAX + length;
    if (needed > c->output_room) {
        c->output_room = 2 * needed;
        c->output = realloc(c->output, c->output_room);
        if (c->output == NULL) {
            die("out of memory");
        }
    }
    c->output_bytes += ws_frame(c->output + c->output_bytes, opcode, (const uint8_t *)text, length);
}

static void queue_message(struct client *c, uint64_t due_ns) {
    char text[512];
    c->sent++;
    const int length = snprintf(
        text, sizeof text, "{\"send\":{\"clientId\":\"%llu-%llu\",\"to\":\"%s\",\"body\":{\"text\":\"%llu %llu\"}}}",
        (unsigned long long)c->sent, (unsigned long long)due_ns, c->friend->account.user_id,
        (unsigned long long)c->sent, (unsigned long long)due_ns);
    queue(c, WS_TEXT, text, (size_t)length);
}

// The id is the time.
static void queue_call(struct client *c, uint64_t now) {
    static const char *const methods[] = { "ProfileService/GetMyProfile", "FriendshipService/ListFriends" };
    char text[128];
    const int length = snprintf(text, sizeof text, "{\"call\":{\"id\":\"%llu-%llu\",\"method\":\"ringway.v1.%s\"}}",
                                (unsigned long long)called, (unsigned long long)now, methods[called % 2]);
    called++;
    queue(c, WS_TEXT, text, (size_t)length);
}

// What the server says

static void saw_seq(struct client *c, const char *text, size_t length, const char *name) {
    char value[32];
    if (json_string(text, length, name, value, sizeof value)) {
        const uint64_t seq = strtoull(value, NULL, 10);
        c->last_seq = seq > c->last_seq ? seq : c->last_seq;
    }
}

static void take_sent(struct client *c, const char *text, size_t length, uint64_t now) {
    char id[72];
    unsigned long long number, due;
    if (!json_string(text, length, "clientId", id, sizeof id) || sscanf(id, "%llu-%llu", &number, &due) != 2) {
        die("a sent without a clientId of ours: %.*s", (int)length, text);
    }
    disordered += number != ++c->answered;
    histogram_add(&to_sent, now - due);
    if (refilling) {
        queue_message(c, now);
    }
}

static void take_event(struct client *c, const char *text, size_t length, uint64_t now) {
    char from[24], body[72], acknowledgement[64];
    unsigned long long number, due;
    if (++c->unacknowledged == ACK_EVERY) {
        c->unacknowledged = 0;
        queue(c, WS_TEXT, acknowledgement,
              (size_t)snprintf(acknowledgement, sizeof acknowledgement, "{\"ack\":{\"seq\":\"%llu\"}}",
                               (unsigned long long)c->last_seq));
    }
    // Others are the friendship's own events.
    if (json_string(text, length, "from", from, sizeof from) && strcmp(from, c->friend->account.user_id) == 0
        && json_string(text, length, "text", body, sizeof body) && sscanf(body, "%llu %llu", &number, &due) == 2) {
        disordered += number != ++c->received;
        histogram_add(&to_event, now - due);
    }
}

static void take_reply(struct client *c, const char *text, size_t length, uint64_t now) {
    char id[48];
    unsigned long long number, asked;
    if (!json_string(text, length, "id", id, sizeof id) || sscanf(id, "%llu-%llu", &number, &asked) != 2) {
        die("a reply without an id of ours: %.*s", (int)length, text);
    }
    replied++;
    refused += memmem(text, length, "\"json\":{\"", 9) == NULL;
    histogram_add(&to_reply, now - asked);
    if (recalling) {
        queue_call(c, now);
    }
}

static int begins(const char *text, size_t length, const char *with) {
    return length >= strlen(with) && memcmp(text, with, strlen(with)) == 0;
}

static void take_text(struct client *c, const char *text, size_t length, uint64_t now) {
    if (begins(text, length, "{\"sent\":")) {
        saw_seq(c, text, length, "seq");
        take_sent(c, text, length, now);
    } else if (begins(text, length, "{\"event\":")) {
        saw_seq(c, text, length, "seq");
        take_event(c, text, length, now);
    } else if (begins(text, length, "{\"reply\":")) {
        take_reply(c, text, length, now);
    } else if (begins(text, length, "{\"welcome\":")) {
        saw_seq(c, text, length, "headSeq");
        c->welcomed = 1;
    } else if (begins(text, length, "{\"gap\":")) {
        gaps++;
    } else if (begins(text, length, "{\"error\":")) {
        if (refused++ == 0) {
            fprintf(stderr, "messages: refused: %.*s\n", (int)length, text);
        }
    } else if (!begins(text, length, "{\"pong\":")) {
        die("unexpected: %.*s", (int)length, text);
    }
}

static void take_frames(struct client *c, uint64_t now) {
    size_t at = 0;
    for (;;) {
        uint8_t opcode;
        uint64_t payload;
        const int header = ws_header(c->input + at, c->input_bytes - at, &opcode, &payload);
        if (header < 0 || (header > 0 && payload > INPUT_BYTES - WS_HEADER_BYTES_MAX)) {
            die("a frame that no server sends");
        }
        if (header == 0 || c->input_bytes - at < (size_t)header + payload) {
            break;
        }
        const char *text = (const char *)c->input + at + header;
        if (opcode == WS_TEXT) {
            take_text(c, text, (size_t)payload, now);
        } else if (opcode == WS_PING) {
            queue(c, WS_PONG, text, (size_t)payload);
        } else if (opcode == WS_CLOSE) {
            die("closed by the server with %d", payload >= 2 ? (uint8_t)text[0] << 8 | (uint8_t)text[1] : 1005);
        }
        at += (size_t)header + payload;
    }
    c->input_bytes -= at;
    memmove(c->input, c->input + at, c->input_bytes);
}

static void turn(uint64_t timeout_ns) {
    struct epoll_event events[EVENTS];
    const struct timespec timeout = {
        .tv_sec = (time_t)(timeout_ns / 1000000000u), .tv_nsec = (long)(timeout_ns % 1000000000u),
    };
    const int count = epoll_pwait2(poller, events, EVENTS, &timeout, NULL);
    for (int i = 0; i < count; i++) {
        struct client *c = events[i].data.ptr;
        for (int more = (events[i].events & EPOLLIN) != 0; more;) {
            const size_t room = INPUT_BYTES - c->input_bytes;
            const ssize_t received = recv(c->fd, c->input + c->input_bytes, room, MSG_DONTWAIT);
            if (received == 0 || (received < 0 && errno != EAGAIN)) {
                die("the server closed a connection: %s", received == 0 ? "end of stream" : strerror(errno));
            }
            more = received == (ssize_t)room;
            if (received > 0) {
                c->input_bytes += (size_t)received;
                take_frames(c, clock_ns());
            }
        }
        flush(c);
    }
}

// Sessions

static size_t write_hello(char *text, size_t room, const struct client *c) {
    return (size_t)snprintf(text, room, "{\"hello\":{\"token\":\"%s\",\"sinceSeq\":\"%llu\"}}", c->account.token,
                            (unsigned long long)c->last_seq);
}

static void start(struct client *c, unsigned index) {
    c->fd = ws_connect(options.ws_port, index, "/ws", "ringway.v1.json");
    if (c->fd < 0) {
        die("connection %u: %s", index, strerror(-c->fd));
    }
    make_nonblocking(c->fd);
    c->input = malloc(INPUT_BYTES);
    if (c->input == NULL) {
        die("out of memory");
    }
    struct epoll_event event = { .events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c };
    epoll_ctl(poller, EPOLL_CTL_ADD, c->fd, &event);
    char hello[TEXT_BYTES_MAX];
    queue(c, WS_TEXT, hello, write_hello(hello, sizeof hello, c));
    flush(c);
    const uint64_t until = clock_ns() + 10000000000u;
    while (!c->welcomed) {
        turn(100000000);
        if (clock_ns() > until) {
            die("connection %u: no welcome in 10 s", index);
        }
    }
}

static void set_up(void) {
    const uint64_t began = clock_ns();
    clients_count = 2 * options.pairs;
    clients = calloc(clients_count, sizeof *clients);
    for (unsigned i = 0; i < clients_count; i++) {
        account_register(options.http_port, i, &clients[i].account);
        clients[i].friend = &clients[i ^ 1];
    }
    for (unsigned i = 0; i < clients_count; i += 2) {
        account_befriend(options.http_port, &clients[i].account, &clients[i + 1].account);
    }
    const double took = (double)(clock_ns() - began) / 1e9;
    for (unsigned i = 0; i < clients_count; i++) {
        start(&clients[i], i);
    }
    printf("{\"phase\":\"accounts\",\"users\":%u,\"friendships\":%u,\"seconds\":%.1f}\n", clients_count, options.pairs,
           took);
    fflush(stdout);
}

// One more session on the client's account: a file descriptor that has been welcomed, or 0.
static int open_session(const struct client *c, unsigned index) {
    const int fd = ws_connect(options.ws_port, index, "/ws", "ringway.v1.json");
    if (fd < 0) {
        return 0;
    }
    char hello[TEXT_BYTES_MAX];
    uint8_t frame[TEXT_BYTES_MAX + WS_HEADER_BYTES_MAX], answer[TEXT_BYTES_MAX];
    const size_t length = ws_frame(frame, WS_TEXT, (const uint8_t *)hello, write_hello(hello, sizeof hello, c));
    if (send(fd, frame, length, MSG_NOSIGNAL) == (ssize_t)length) {
        const ssize_t received = recv(fd, answer, sizeof answer, 0);
        if (received > 0 && memmem(answer, (size_t)received, "{\"welcome\":", 11) != NULL) {
            return fd;
        }
    }
    close(fd);
    return 0;
}

static int sessions(void) {
    int *fds = calloc(options.sessions, sizeof *fds);
    const struct usage before = process_usage(options.server);
    const uint64_t began = clock_ns();
    unsigned opened = 0, alive = 0;
    for (unsigned i = 0; i < options.sessions; i++) {
        fds[i] = open_session(&clients[i % clients_count], clients_count + i);
        opened += fds[i] != 0;
    }
    const double took = (double)(clock_ns() - began) / 1e9;
    turn(500000000);
    const struct usage after = process_usage(options.server);
    for (unsigned i = 0; i < options.sessions; i++) {
        char byte;
        if (fds[i] != 0) {
            const ssize_t received = recv(fds[i], &byte, 1, MSG_DONTWAIT | MSG_PEEK);
            alive += received > 0 || (received < 0 && errno == EAGAIN);
            close(fds[i]);
        }
    }
    free(fds);
    printf("{\"phase\":\"sessions\",\"sessions\":%u,\"opened\":%u,\"refused\":%u,\"alive\":%u,\"seconds\":%.1f,"
           "\"bytes_per_session\":%.0f,\"server_cpu_us\":%.1f}\n",
           options.sessions, opened, options.sessions - opened, alive, took,
           opened ? ((double)after.resident_bytes - (double)before.resident_bytes) / opened : 0.0,
           opened ? (double)(after.cpu_ns - before.cpu_ns) / 1000 / opened : 0.0);
    fflush(stdout);
    turn(500000000);
    return alive == options.sessions;
}

// Messages

static uint64_t total(size_t field) {
    uint64_t sum = 0;
    for (unsigned i = 0; i < clients_count; i++) {
        sum += *(const uint64_t *)((const char *)&clients[i] + field);
    }
    return sum;
}
#define TOTAL(field) total(offsetof(struct client, field))

// Returns the number of messages that were not both answered and delivered.
static uint64_t drain(void) {
    const uint64_t until = clock_ns() + DRAIN_S * 1000000000ull;
    uint64_t missing;
    do {
        turn(10000000);
        const uint64_t sent = TOTAL(sent), answered = TOTAL(answered), received = TOTAL(received);
        missing = sent - (answered < received ? answered : received);
    } while (missing > 0 && clock_ns() < until);
    return missing;
}

static void send_at_rate(uint64_t began) {
    const uint64_t count = (uint64_t)(options.rate * options.seconds);
    for (uint64_t next = 0; next < count;) {
        const uint64_t now = clock_ns();
        uint64_t due = began + next * 1000000000u / options.rate;
        while (next < count && due <= now) {
            struct client *c = &clients[next % clients_count];
            queue_message(c, due);
            flush(c);
            due = began + ++next * 1000000000u / options.rate;
        }
        turn(due > now ? due - now : 0);
    }
}

static void send_in_window(uint64_t began) {
    refilling = 1;
    for (unsigned i = 0; i < clients_count * options.window; i++) {
        queue_message(&clients[i % clients_count], clock_ns());
        flush(&clients[i % clients_count]);
    }
    while (clock_ns() < began + (uint64_t)(options.closed_seconds * 1e9)) {
        turn(10000000);
    }
    refilling = 0;
}

static int measure(const char *phase, void (*send_all)(uint64_t began)) {
    memset(&to_sent, 0, sizeof to_sent);
    memset(&to_event, 0, sizeof to_event);
    refused = disordered = gaps = 0;
    const struct usage before = process_usage(options.server);
    const uint64_t answered_before = TOTAL(answered), began = clock_ns();
    send_all(began);
    const uint64_t answered = TOTAL(answered) - answered_before;
    const double took = (double)(clock_ns() - began) / 1e9;
    const struct usage after = process_usage(options.server);
    const uint64_t missing = drain();
    printf("{\"phase\":\"%s\",\"senders\":%u,\"messages\":%llu,\"seconds\":%.2f,\"messages_per_s\":%.0f,"
           "\"sent_p50_ms\":%.2f,\"sent_p99_ms\":%.2f,\"event_p50_ms\":%.2f,\"event_p99_ms\":%.2f,"
           "\"server_cpu_us\":%.1f,\"missing\":%llu,\"refused\":%llu,\"disordered\":%llu,\"gaps\":%llu}\n",
           phase, clients_count, (unsigned long long)answered, took, (double)answered / took,
           histogram_us(&to_sent, 0.5) / 1000, histogram_us(&to_sent, 0.99) / 1000, histogram_us(&to_event, 0.5) / 1000,
           histogram_us(&to_event, 0.99) / 1000,
           answered ? (double)(after.cpu_ns - before.cpu_ns) / 1000 / (double)answered : 0.0,
           (unsigned long long)missing, (unsigned long long)refused, (unsigned long long)disordered,
           (unsigned long long)gaps);
    fflush(stdout);
    return missing == 0 && refused == 0 && disordered == 0 && gaps == 0;
}

static int measure_calls(void) {
    refused = 0;
    const struct usage before = process_usage(options.server);
    const uint64_t began = clock_ns();
    recalling = 1;
    for (unsigned i = 0; i < clients_count * CALLS; i++) {
        queue_call(&clients[i % clients_count], clock_ns());
        flush(&clients[i % clients_count]);
    }
    while (clock_ns() < began + (uint64_t)(options.closed_seconds * 1e9)) {
        turn(10000000);
    }
    recalling = 0;
    const uint64_t answered = replied;
    const double took = (double)(clock_ns() - began) / 1e9;
    const struct usage after = process_usage(options.server);
    for (const uint64_t until = clock_ns() + DRAIN_S * 1000000000ull; replied < called && clock_ns() < until;) {
        turn(10000000);
    }
    printf("{\"phase\":\"calls\",\"callers\":%u,\"calls\":%llu,\"seconds\":%.2f,\"calls_per_s\":%.0f,\"p50_ms\":%.2f,"
           "\"p99_ms\":%.2f,\"server_cpu_us\":%.1f,\"missing\":%llu,\"refused\":%llu}\n",
           clients_count, (unsigned long long)answered, took, (double)answered / took, histogram_us(&to_reply, 0.5) / 1000,
           histogram_us(&to_reply, 0.99) / 1000,
           answered ? (double)(after.cpu_ns - before.cpu_ns) / 1000 / (double)answered : 0.0,
           (unsigned long long)(called - replied), (unsigned long long)refused);
    fflush(stdout);
    return replied == called && refused == 0;
}

static void read_options(int argc, char **argv) {
    const struct option_spec specs[] = {
        { "--http-port", OPTION_PORT, &options.http_port }, { "--ws-port", OPTION_PORT, &options.ws_port },
        { "--server-pid", OPTION_PID, &options.server },    { "--pairs", OPTION_UNSIGNED, &options.pairs },
        { "--sessions", OPTION_UNSIGNED, &options.sessions }, { "--rate", OPTION_UNSIGNED, &options.rate },
        { "--seconds", OPTION_SECONDS, &options.seconds },  { "--window", OPTION_UNSIGNED, &options.window },
        { "--closed-seconds", OPTION_SECONDS, &options.closed_seconds },
    };
    options_parse(argc, argv, specs, sizeof specs / sizeof *specs);
    if (options.http_port == 0 || options.ws_port == 0 || options.pairs == 0 || options.rate == 0) {
        die("--http-port or --ws-port is missing, or a number is 0");
    }
}

int main(int argc, char **argv) {
    read_options(argc, argv);
    poller = epoll_create1(EPOLL_CLOEXEC);
    set_up();
    int good = sessions();
    good &= measure("open", send_at_rate);
    good &= measure("closed", send_in_window);
    good &= measure_calls();
    return good ? 0 : 1;
}
