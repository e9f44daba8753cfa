// A TCP echo with nothing above it: the floor that the gateway's cost a message is compared with. uring.c and epoll.c are
// one each, features.c is a third that no floor is taken from; a program has one of them, and main.c or lockstep.c to drive
// it. One thread.
#ifndef BENCH_RAW_H
#define BENCH_RAW_H

#include <stdint.h>

#include "../options.h"

enum {
    RAW_SOCKETS_MAX = 20000,
    RAW_BUFFER_BYTES = 16384 + 64,  // as the gateway's by default
};

// What an echo may be told beyond its port.
extern const struct option_spec raw_options[];
extern const size_t raw_options_count;

// What it has asked the kernel for.
extern uint64_t raw_syscalls;

// Begins to serve a listening socket. 0 or -errno.
int raw_open(int listener);

// Handles what has happened; waits for something to happen if it may. 0 or -errno.
int raw_turn(int may_wait);

// listen.c: a socket that listens on 127.0.0.1, or -errno. Port 0 picks a free one; *port is the one it got.
int raw_listen(uint16_t *port);

#endif
