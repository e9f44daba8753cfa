// Serves with one of the raw echoes until SIGINT or SIGTERM. Prints its port, and on SIGUSR1 the system calls so far.
//
//   raw_echo | raw_epoll | raw_features [--port N] and the echo's own options, which stand at its file's head
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "raw.h"

enum { OPTIONS_MAX = 8 };

uint64_t raw_syscalls;
static volatile sig_atomic_t stopping, asked;

static void stop(int signal) {
    (void)signal;
    stopping = 1;
}

static void ask(int signal) {
    (void)signal;
    asked = 1;
}

static void report_if_asked(void) {
    if (asked) {
        asked = 0;
        printf("syscalls %llu\n", (unsigned long long)raw_syscalls);
        fflush(stdout);
    }
}

int main(int argc, char **argv) {
    uint16_t port = 0;
    struct option_spec specs[OPTIONS_MAX] = { { "--port", OPTION_PORT, &port } };
    memcpy(&specs[1], raw_options, raw_options_count * sizeof *specs);
    options_parse(argc, argv, specs, 1 + raw_options_count);
    sigaction(SIGINT, &(struct sigaction){ .sa_handler = stop }, NULL);
    sigaction(SIGTERM, &(struct sigaction){ .sa_handler = stop }, NULL);
    sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = ask }, NULL);
    const int listener = raw_listen(&port);
    if (listener < 0) {
        die("listen: %s", strerror(-listener));
    }
    int error = raw_open(listener);
    if (error < 0) {
        die("open: %s", strerror(-error));
    }
    printf("listening on 127.0.0.1:%d\n", port);
    fflush(stdout);
    while (!stopping && error == 0) {
        error = raw_turn(1);
        report_if_asked();
    }
    if (error < 0) {
        die("turn: %s", strerror(-error));
    }
    return 0;
}
