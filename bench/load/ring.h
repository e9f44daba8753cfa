// The generator's io_uring: receives that go on by themselves into buffers that the kernel picks, sends and connects,
// each named by a connection's index. One ring a process, one thread.
//
// A received piece is borrowed for the time of the callback; its buffer then goes back to the kernel.
#ifndef BENCH_LOAD_RING_H
#define BENCH_LOAD_RING_H

#include <stddef.h>
#include <stdint.h>

enum ring_operation { RING_RECEIVED, RING_SENT, RING_CONNECTED, RING_CLOSED };

struct ring_event {
    enum ring_operation operation;
    unsigned index;
    int result;           // bytes, or 0, or -errno
    const uint8_t *data;  // RING_RECEIVED with result > 0
};

void ring_create(unsigned connections);

void ring_receive(unsigned index, int fd);
// The bytes stay untouched until RING_SENT.
void ring_send(unsigned index, int fd, const uint8_t *data, size_t bytes);
struct sockaddr;
void ring_connect(unsigned index, int fd, const struct sockaddr *address, unsigned address_bytes);
void ring_close(unsigned index, int fd);

// Submits, waits for something or until a moment of clock_ns, and calls handle for all that happened.
void ring_turn(uint64_t until_ns, void (*handle)(const struct ring_event *event));

#endif
