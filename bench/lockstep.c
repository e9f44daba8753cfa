// The core and its clients in one thread, in lock step: every client sends, the core turns until it has answered,
// every client reads. So each turn finds the same work in every run, on a busy machine and under valgrind, and what
// is counted between the two is a figure without noise. Answers are compared byte by byte.
//
//   lockstep [--connections N] [--depth N] [--size BYTES] [--rounds N] [--backend io_uring|epoll] [--fan-out]
//            [--tls-cert FILE --tls-key FILE]
//
// --fan-out: one client sends and every client is sent its message, as one shared frame.
// Prints the messages (deliveries, for a fan-out) and system calls of the measured rounds, which are those that
// lockstep_measured runs; a tool that counts by function (callgrind --toggle-collect) counts that one.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "gw_gateway.h"
#include "lockstep_clients.h"
#include "lockstep_tls.h"
#include "options.h"

enum { WARM_UP_ROUNDS = 20, TURNS_MAX = 1000000, LONG_BYTES = 4096 };

struct lockstep {
    struct gw_reactor *reactor;
    struct lockstep_clients *clients;
    uint64_t *ids;               // of the open connections
    unsigned opened;
    unsigned turns;              // of the present step
    uint64_t answered;           // messages sent by the core
    void (*serve)(struct lockstep *l, const struct gw_event *events, const struct gw_event *end);
};

static void must_send(int error) {
    if (error != 0) {
        die("send: %s", gw_strerror(error));
    }
}

static void note(struct lockstep *l, const struct gw_event *event) {
    if (event->kind != GW_EVENT_OPENED) {
        die("connection %llu ended with %u", (unsigned long long)event->conn, event->code);
    }
    l->ids[l->opened++] = event->conn;
}

static void spread(struct lockstep *l, const struct gw_event *events, const struct gw_event *end) {
    for (const struct gw_event *event = events; event < end; event++) {
        if (event->kind != GW_EVENT_MESSAGE) {
            note(l, event);
            continue;
        }
        struct gw_frame *frame;
        must_send(gw_frame_create(l->reactor, (enum gw_opcode)event->opcode, event->data, event->length, &frame));
        for (unsigned i = 0; i < l->opened; i++) {
            must_send(gw_conn_send_frame(l->reactor, l->ids[i], frame));
        }
        gw_frame_release(l->reactor, frame);
        l->answered += l->opened;
    }
}

static void echo(struct lockstep *l, const struct gw_event *events, const struct gw_event *end) {
    struct gw_reactor *reactor = l->reactor;
    uint64_t answered = 0;
    for (const struct gw_event *event = events; event < end; event++) {
        if (event->kind != GW_EVENT_MESSAGE) {
            note(l, event);
            continue;
        }
        must_send(gw_conn_send(reactor, event->conn, (enum gw_opcode)event->opcode, event->data, event->length));
        answered++;
    }
    l->answered += answered;
}

// The same for messages that are long enough to be sent from where they lie.
static void echo_long(struct lockstep *l, const struct gw_event *events, const struct gw_event *end) {
    for (const struct gw_event *event = events; event < end; event++) {
        if (event->kind != GW_EVENT_MESSAGE) {
            note(l, event);
            continue;
        }
        must_send(gw_conn_forward(l->reactor, event->conn, event));
        l->answered++;
    }
}

static void turn(struct lockstep *l) {
    const struct gw_event *events;
    if (l->turns++ == TURNS_MAX) {
        die("the core answers no more");
    }
    const int count = gw_reactor_turn(l->reactor, 0, &events);
    if (count < 0) {
        die("turn: %s", gw_strerror(count));
    }
    l->serve(l, events, events + count);
}

// What the core does for one round: a turn takes the messages in, the one after it sends the answers. An answer of
// more than the kernel takes at once needs further turns.
static void answer(struct lockstep *l, uint64_t messages) {
    const uint64_t until = l->answered + messages;
    while (l->answered < until) {
        turn(l);
    }
    turn(l);
}

__attribute__((noinline)) static void lockstep_measured(struct lockstep *l, uint64_t messages) { answer(l, messages); }

static void round_trip(struct lockstep *l, void (*serve)(struct lockstep *, uint64_t)) {
    lockstep_clients_send(l->clients);
    l->turns = 0;
    serve(l, lockstep_clients_round(l->clients));
    while (!lockstep_clients_answered(l->clients)) {
        turn(l);
    }
}

static uint64_t syscalls(const struct lockstep *l) {
    struct gw_stats stats;
    gw_reactor_stats(l->reactor, &stats);
    return stats.syscalls;
}

int main(int argc, char **argv) {
    struct gw_config config;
    gw_config_init(&config);
    struct lockstep_plan plan = { .connections = 100, .depth = 1, .size = 16 };
    struct lockstep l = { .turns = 0 };
    unsigned rounds = 200;
    const char *backend = "", *certificate = "", *key = "";
    const struct option_spec specs[] = {
        { "--connections", OPTION_UNSIGNED, &plan.connections },
        { "--depth", OPTION_UNSIGNED, &plan.depth },
        { "--size", OPTION_SIZE, &plan.size },
        { "--rounds", OPTION_UNSIGNED, &rounds },
        { "--backend", OPTION_TEXT, &backend },
        { "--fan-out", OPTION_FLAG, &plan.fan_out },
        { "--tls-cert", OPTION_TEXT, &certificate },
        { "--tls-key", OPTION_TEXT, &key },
    };
    options_parse(argc, argv, specs, sizeof specs / sizeof *specs);
    if (*certificate != '\0') {
        config.tls_certificate_file = certificate;
        config.tls_key_file = key;
        plan.channel = &lockstep_tls;
    }
    if (strcmp(backend, "io_uring") == 0) {
        config.backend = GW_BACKEND_IO_URING;
    } else if (strcmp(backend, "epoll") == 0) {
        config.backend = GW_BACKEND_EPOLL;
    } else if (*backend != '\0') {
        die("--backend: there is no %s", backend);
    }
    l.serve = plan.fan_out ? spread : plan.size < LONG_BYTES ? echo : echo_long;
    l.clients = lockstep_clients_create(&plan);
    l.ids = calloc(plan.connections, sizeof *l.ids);
    if (l.ids == NULL) {
        die("out of memory");
    }
    const int created = gw_reactor_create(&config, &l.reactor);
    if (created < 0) {
        die("create: %s", gw_strerror(created));
    }
    const int port = gw_reactor_listen(l.reactor, "127.0.0.1", 0, 0);
    if (port < 0) {
        die("listen: %s", gw_strerror(port));
    }
    while (!lockstep_clients_open(l.clients, (uint16_t)port)) {
        turn(&l);
    }
    for (unsigned i = 0; i < WARM_UP_ROUNDS; i++) {
        round_trip(&l, answer);
    }
    const uint64_t answered = l.answered, entered = syscalls(&l);
    for (unsigned i = 0; i < rounds; i++) {
        round_trip(&l, lockstep_measured);
    }
    printf("messages %llu syscalls %llu\n", (unsigned long long)(l.answered - answered),
           (unsigned long long)(syscalls(&l) - entered));
    gw_reactor_destroy(l.reactor);
    lockstep_clients_destroy(l.clients);
    lockstep_tls_end();
    free(l.ids);
    return 0;
}
