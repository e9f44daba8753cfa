// An echo server on the C core alone: what a message costs before any Swift. Uses gw_gateway.h and nothing
// else. Prints its port and serves until SIGINT or SIGTERM, or until it has echoed so many messages, then prints
// the core's counters.
//
//   echo_core [--port N] [--connections N] [--messages N] [--io io_uring|epoll] [--tls-cert FILE --tls-key FILE]
//
// The count is for valgrind, which holds signals back while a thread waits in the kernel: the difference of two
// runs under callgrind, divided by the difference of their counts, is what one message costs.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gw_gateway.h"

static volatile sig_atomic_t stopping;
static struct gw_reactor *serving;

static void stop(int signal) {
    (void)signal;
    stopping = 1;
    gw_reactor_wake(serving);
}

static void echo(struct gw_reactor *reactor, const struct gw_event *event) {
    const int error = gw_conn_send(reactor, event->conn, (enum gw_opcode)event->opcode, event->data, event->length);
    // A closing connection is no error; anything else would be a message lost.
    if (error != 0 && error != GW_ECLOSING && error != GW_ENOCONN) {
        fprintf(stderr, "echo_core: send: %s\n", gw_strerror(error));
        gw_conn_close(reactor, event->conn, 1011, NULL);
    }
}

static int serve(struct gw_reactor *reactor, uint64_t messages_max) {
    uint64_t messages = 0;
    while (!stopping && messages < messages_max) {
        const struct gw_event *events;
        const int count = gw_reactor_turn(reactor, UINT64_MAX, &events);
        if (count < 0) {
            return count;
        }
        for (int i = 0; i < count; i++) {
            if (events[i].kind == GW_EVENT_MESSAGE) {
                echo(reactor, &events[i]);
                messages++;
            }
        }
    }
    return 0;
}

static void report(const struct gw_reactor *reactor) {
    struct gw_stats stats;
    gw_reactor_stats(reactor, &stats);
    printf("messages %llu turns %llu syscalls %llu accepted %llu core_bytes %llu pool_bytes %llu starved %llu\n",
           (unsigned long long)stats.messages_in, (unsigned long long)stats.turns,
           (unsigned long long)stats.syscalls, (unsigned long long)stats.accepted,
           (unsigned long long)stats.core_bytes, (unsigned long long)stats.pool_bytes,
           (unsigned long long)stats.receive_starved);
}

static int fail(const char *what, int error) {
    fprintf(stderr, "echo_core: %s: %s\n", what, gw_strerror(error));
    return 1;
}

int main(int argc, char **argv) {
    struct gw_config config;
    gw_config_init(&config);
    uint16_t port = 0;
    uint64_t messages_max = UINT64_MAX;
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--port") == 0) {
            port = (uint16_t)atoi(argv[i + 1]);
        } else if (strcmp(argv[i], "--connections") == 0) {
            config.connections_max = (uint32_t)atoi(argv[i + 1]);
        } else if (strcmp(argv[i], "--messages") == 0) {
            messages_max = strtoull(argv[i + 1], NULL, 10);
        } else if (strcmp(argv[i], "--io") == 0 && strcmp(argv[i + 1], "io_uring") == 0) {
            config.backend = GW_BACKEND_IO_URING;
        } else if (strcmp(argv[i], "--io") == 0 && strcmp(argv[i + 1], "epoll") == 0) {
            config.backend = GW_BACKEND_EPOLL;
        } else if (strcmp(argv[i], "--tls-cert") == 0) {
            config.tls_certificate_file = argv[i + 1];
        } else if (strcmp(argv[i], "--tls-key") == 0) {
            config.tls_key_file = argv[i + 1];
        } else {
            return fail(argv[i], -EINVAL);
        }
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
    printf("listening on 127.0.0.1:%d\n", bound);
    fflush(stdout);
    const int served = serve(reactor, messages_max);
    report(reactor);
    gw_reactor_destroy(reactor);
    return served < 0 ? fail("turn", served) : 0;
}
