// The clients of a server in lock step, in the server's own thread. In a round each sends its messages, and later reads
// the answers, which are compared byte by byte. Nothing here waits: whoever drives both turns the server in between.
// A client that is refused, ended or answered with something else ends the program.
//
// Not here: the server. One thread. None of these functions calls another, so that callgrind can leave them out of
// what it counts (--toggle-collect).
#ifndef BENCH_LOCKSTEP_CLIENTS_H
#define BENCH_LOCKSTEP_CLIENTS_H

#include <stddef.h>
#include <stdint.h>

#if defined(__clang__)
#pragma clang assume_nonnull begin
#else
#define _Nullable
#endif

// How the clients' bytes come and go, for clients that do not send them as they are.
struct lockstep_channel {
    void (*send)(int socket, const void *data, size_t bytes);     // all of it
    size_t (*receive)(int socket, void *data, size_t room);       // 0: there is nothing to read
};

struct lockstep_plan {
    size_t size;                  // bytes a message
    unsigned connections, depth;  // messages a sender and round, 1 at least both
    int fan_out;                  // 0: all send and get their own back. 1: the first sends, and all get it
    int raw;                      // 1: bare TCP; a message has the bytes of its masked frame, and they come back
    const struct lockstep_channel *_Nullable channel;
};

struct lockstep_clients;

struct lockstep_clients *lockstep_clients_create(const struct lockstep_plan *plan);
void lockstep_clients_destroy(struct lockstep_clients *clients);

// A step towards connections that are all open, one after the other. 1: they are; else the server has to turn.
int lockstep_clients_open(struct lockstep_clients *clients, uint16_t port);

// A round's beginning: what the clients say is in their sockets.
void lockstep_clients_send(struct lockstep_clients *clients);
// And its end. 1: every answer was read; 0: the server has to turn.
int lockstep_clients_answered(struct lockstep_clients *clients);

// Messages that a round brings the clients.
uint64_t lockstep_clients_round(const struct lockstep_clients *clients);

#if defined(__clang__)
#pragma clang assume_nonnull end
#endif
#endif
