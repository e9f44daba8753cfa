// A raw echo and its clients in one thread, in lock step, as ../lockstep.c does it with the core: every client sends, the
// echo turns until each has its answer, every client reads. The figure is the same in every run.
//
//   raw_echo_lockstep | raw_epoll_lockstep [--connections N] [--depth N] [--size BYTES] [--rounds N]
//
// A message has as many bytes as a masked frame of that size. Prints the messages and system calls of the measured rounds;
// callgrind counts the turns that lockstep_measured takes (--toggle-collect).
#include <stdio.h>
#include <string.h>

#include "client.h"
#include "lockstep_clients.h"
#include "../options.h"
#include "raw.h"

enum { WARM_UP_ROUNDS = 20, TURNS_MAX = 1000000 };

uint64_t raw_syscalls;

static void turn(void) {
    const int error = raw_turn(0);
    if (error < 0) {
        die("turn: %s", strerror(-error));
    }
}

__attribute__((noinline)) static void lockstep_measured(void) { turn(); }

static void round_trip(struct lockstep_clients *clients, void (*serve)(void)) {
    unsigned turns = 0;
    lockstep_clients_send(clients);
    do {
        if (turns++ == TURNS_MAX) {
            die("the echo answers no more");
        }
        serve();
    } while (!lockstep_clients_answered(clients));
}

int main(int argc, char **argv) {
    struct lockstep_plan plan = { .connections = 100, .depth = 1, .size = 16, .raw = 1 };
    unsigned rounds = 200;
    const struct option_spec specs[] = {
        { "--connections", OPTION_UNSIGNED, &plan.connections },
        { "--depth", OPTION_UNSIGNED, &plan.depth },
        { "--size", OPTION_SIZE, &plan.size },
        { "--rounds", OPTION_UNSIGNED, &rounds },
    };
    options_parse(argc, argv, specs, sizeof specs / sizeof *specs);
    struct lockstep_clients *clients = lockstep_clients_create(&plan);
    uint16_t port = 0;
    const int listener = raw_listen(&port);
    const int error = listener < 0 ? listener : raw_open(listener);
    if (error < 0) {
        die("open: %s", strerror(-error));
    }
    while (!lockstep_clients_open(clients, port)) {
        turn();
    }
    for (unsigned i = 0; i < WARM_UP_ROUNDS; i++) {
        round_trip(clients, turn);
    }
    const uint64_t before = raw_syscalls;
    for (unsigned i = 0; i < rounds; i++) {
        round_trip(clients, lockstep_measured);
    }
    printf("messages %llu syscalls %llu\n", (unsigned long long)(rounds * lockstep_clients_round(clients)),
           (unsigned long long)(raw_syscalls - before));
    lockstep_clients_destroy(clients);
    return 0;
}
