// What the parts of the load generator share: the options, and one connection to the server, plain or TLS, bare TCP
// or WebSocket. One thread.
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct ssl_st;

struct settings {
    uint16_t port;
    unsigned connections, depth, rate, concurrency;
    size_t size;          // of a message's payload
    double seconds;
    uint64_t messages;    // ends a closed loop early; 0: never
    const char *path, *loop;
    int raw, tls, mark;
    pid_t server;
};
extern struct settings settings;

// A connection that has been opened. fd is non-blocking from then on only by how the ring uses it.
struct link {
    int fd;
    struct ssl_st *tls;   // NULL: plain
};

// Opens the index-th connection, blocking: TCP, TLS if asked for, the WebSocket's opening unless raw. 0 or -errno.
int link_open(struct link *link, unsigned index);

// The loops. Each prints a line or two of JSON and returns the exit status.
int traffic_run(void);  // traffic.c: closed, open, fan-out
int storm_run(void);    // storm.c
int hold_run(void);     // hold.c

#endif
