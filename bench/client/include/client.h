// What the load generators share: connections from many loopback addresses, the WebSocket opening and its frames
// as a client writes them, a clock, a histogram, and what a server's process has used.
// Not here: waiting for many sockets; each generator has its own loop. One thread.
#ifndef BENCH_CLIENT_H
#define BENCH_CLIENT_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// Says what went wrong and ends the program with 1: a benchmark has nothing to recover.
_Noreturn void die(const char *format, ...) __attribute__((format(printf, 1, 2)));

uint64_t clock_ns(void);

// A blocking connection to 127.0.0.1:port from the index-th caller's address: 127.x.y.z, 8,192 callers an address,
// so that no address runs out of ports. A negative errno when it is refused.
int tcp_connect(uint16_t port, unsigned index);
// The same socket, bound to the caller's address and not yet connected.
int tcp_socket(unsigned index);
void make_nonblocking(int socket);

// A WebSocket on top of tcp_connect: opened, checked and still blocking, or a negative errno (-EPROTO: the server
// answered something other than 101). subprotocol may be NULL.
int ws_connect(uint16_t port, unsigned index, const char *path, const char *subprotocol);

// The two halves of ws_connect for those who wait by themselves: the request, and what an answer so far is
// worth: 0 when more must come, 1 for a 101 with the right key, -EPROTO for anything else.
enum { WS_ANSWER_BYTES_MAX = 4096 };
size_t ws_request(char *request, size_t room, uint16_t port, const char *path, const char *subprotocol);
int ws_answer(const char *answer);

enum { WS_HEADER_BYTES_MAX = 14, WS_TEXT = 1, WS_BINARY = 2, WS_CLOSE = 8, WS_PING = 9, WS_PONG = 10 };

// Writes one whole, masked frame to out, which has room for WS_HEADER_BYTES_MAX + bytes. Returns its length.
size_t ws_frame(uint8_t *out, uint8_t opcode, const uint8_t *payload, size_t bytes);

// Reads a server frame's header. Returns its length, 0 when more bytes are needed, -1 when it is no unmasked frame.
int ws_header(const uint8_t *data, size_t length, uint8_t *opcode, uint64_t *payload_bytes);

// Nanoseconds to 58 minutes, with an error of at most 1/64 of the value.
enum { HISTOGRAM_BUCKETS = 64 * 37 };
struct histogram {
    uint64_t count, max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};
void histogram_add(struct histogram *histogram, uint64_t value_ns);
// The value that `quantile` (0 to 1) of those added do not exceed, in microseconds.
double histogram_us(const struct histogram *histogram, double quantile);

// What a process and all of its threads have used so far. pid 0: zeros.
struct usage {
    uint64_t cpu_ns;
    uint64_t resident_bytes;
};
struct usage process_usage(pid_t pid);

#endif
