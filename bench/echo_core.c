// An echo server on the C core alone: what a message costs before any Swift. Uses gw_gateway.h and nothing
// else. Prints its port and serves until SIGINT or SIGTERM, or until it has echoed so many messages, then prints
// the core's counters; on SIGUSR1 it prints them at once.
//
//   echo_core [--port N] [--connections N] [--messages N] [--io io_uring|epoll] [--tls-cert FILE --tls-key FILE]
//             [--broadcast] [--message-bytes N] [--fragments N]
//
// --broadcast sends what one connection said to all of them, encoded once, instead of back.
// The count is for valgrind, which holds signals back while a thread waits in the kernel: the difference of two
// runs under callgrind, divided by the difference of their counts, is what one message costs.
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "gw_gateway.h"
#include "options.h"

static volatile sig_atomic_t stopping, asked;
static struct gw_reactor *serving;

static void stop(int signal) {
    (void)signal;
    stopping = 1;
    gw_reactor_wake(serving);
}

static void ask(int signal) {
    (void)signal;
    asked = 1;
    gw_reactor_wake(serving);
}

static void echo(struct gw_reactor *reactor, const struct gw_event *event) {
    const int error = gw_conn_forward(reactor, event->conn, event);
    // A closing connection is no error; anything else would be a message lost.
    if (error != 0 && error != GW_ECLOSING && error != GW_ENOCONN) {
        fprintf(stderr, "echo_core: send: %s\n", gw_strerror(error));
        gw_conn_close(reactor, event->conn, 1011, NULL);
    }
}

// The open connections, for --broadcast: a slot's id, 0 while it is free.
static gw_conn_id *everyone;
static uint32_t slots;

static void note(const struct gw_event *event) {
    const uint32_t slot = (uint32_t)event->conn;
    everyone[slot] = event->kind == GW_EVENT_OPENED ? event->conn : 0;
    slots = slot >= slots ? slot + 1 : slots;
}

static void broadcast(struct gw_reactor *reactor, const struct gw_event *event) {
    struct gw_frame *frame;
    const int error = gw_frame_create(reactor, (enum gw_opcode)event->opcode, event->data, event->length, &frame);
    if (error != 0) {
        die("frame: %s", gw_strerror(error));
    }
    for (uint32_t slot = 0; slot < slots; slot++) {
        const int sent = everyone[slot] ? gw_conn_send_frame(reactor, everyone[slot], frame) : 0;
        if (sent != 0 && sent != GW_ECLOSING && sent != GW_ENOCONN) {
            die("broadcast: %s", gw_strerror(sent));
        }
    }
    gw_frame_release(reactor, frame);
}

static void report(const struct gw_reactor *reactor) {
    struct gw_stats stats;
    gw_reactor_stats(reactor, &stats);
    printf("messages %llu turns %llu syscalls %llu accepted %llu core_bytes %llu pool_bytes %llu starved %llu\n",
           (unsigned long long)stats.messages_in, (unsigned long long)stats.turns,
           (unsigned long long)stats.syscalls, (unsigned long long)stats.accepted,
           (unsigned long long)stats.core_bytes, (unsigned long long)stats.pool_bytes,
           (unsigned long long)stats.receive_starved);
    fflush(stdout);
}

static int serve(struct gw_reactor *reactor, uint64_t messages_max, int broadcasting) {
    uint64_t messages = 0;
    while (!stopping && messages < messages_max) {
        const struct gw_event *events;
        const int count = gw_reactor_turn(reactor, UINT64_MAX, &events);
        if (count < 0) {
            return count;
        }
        for (int i = 0; i < count; i++) {
            if (events[i].kind == GW_EVENT_MESSAGE) {
                (broadcasting ? broadcast : echo)(reactor, &events[i]);
                messages++;
            } else if (broadcasting) {
                note(&events[i]);
            }
        }
        if (asked) {
            asked = 0;
            report(reactor);
        }
    }
    return 0;
}

static int fail(const char *what, int error) {
    fprintf(stderr, "echo_core: %s: %s\n", what, gw_strerror(error));
    return 1;
}

int main(int argc, char **argv) {
    struct gw_config config;
    gw_config_init(&config);
    config.pool_bytes_max = 1 << 30;   // as `ringway echo`: half of it may be messages that are not yet whole
    uint16_t port = 0;
    uint64_t messages_max = UINT64_MAX;
    int broadcasting = 0, kernel_tls = 0;
    const char *backend = "";
    const struct option_spec specs[] = {
        { "--port", OPTION_PORT, &port },
        { "--connections", OPTION_UNSIGNED, &config.connections_max },
        { "--messages", OPTION_COUNT, &messages_max },
        { "--message-bytes", OPTION_UNSIGNED, &config.message_bytes_max },
        { "--fragments", OPTION_UNSIGNED, &config.fragments_max },
        { "--io", OPTION_TEXT, &backend },
        { "--tls-cert", OPTION_TEXT, &config.tls_certificate_file },
        { "--tls-key", OPTION_TEXT, &config.tls_key_file },
        { "--kernel-tls", OPTION_FLAG, &kernel_tls },
        { "--broadcast", OPTION_FLAG, &broadcasting },
    };
    options_parse(argc, argv, specs, sizeof specs / sizeof *specs);
    config.tls_kernel = (uint8_t)kernel_tls;
    if (strcmp(backend, "io_uring") == 0) {
        config.backend = GW_BACKEND_IO_URING;
    } else if (strcmp(backend, "epoll") == 0) {
        config.backend = GW_BACKEND_EPOLL;
    } else if (*backend != '\0') {
        die("--io: there is no %s", backend);
    }
    everyone = calloc(config.connections_max, sizeof *everyone);
    if (everyone == NULL) {
        die("out of memory");
    }
    struct gw_reactor *reactor;
    const int created = gw_reactor_create(&config, &reactor);
    if (created < 0) {
        return fail("create", created);
    }
    const int bound = gw_reactor_listen(reactor, "127.0.0.1", port, 0);
    if (bound < 0) {
        gw_reactor_destroy(reactor);
        return fail("listen", bound);
    }
    serving = reactor;
    sigaction(SIGINT, &(struct sigaction){ .sa_handler = stop }, NULL);
    sigaction(SIGTERM, &(struct sigaction){ .sa_handler = stop }, NULL);
    sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = ask }, NULL);
    printf("listening on 127.0.0.1:%d\n", bound);
    fflush(stdout);
    const int served = serve(reactor, messages_max, broadcasting);
    report(reactor);
    gw_reactor_destroy(reactor);
    free(everyone);
    return served < 0 ? fail("turn", served) : 0;
}
