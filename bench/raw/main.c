// Serves with one of the raw echoes until SIGINT or SIGTERM. Prints its port, and on SIGUSR1 the system calls so far.
//
//   raw_echo | raw_epoll [--port N] [--broadcast]
//
// --broadcast (raw_epoll) sends what one socket said to all of them, with a loop of send(2): the floor of a fan-out.
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "../options.h"
#include "raw.h"

int raw_broadcasts;
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
    const struct option_spec specs[] = {
        { "--port", OPTION_PORT, &port },
        { "--broadcast", OPTION_FLAG, &raw_broadcasts },
    };
    options_parse(argc, argv, specs, sizeof specs / sizeof *specs);
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
