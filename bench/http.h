// HTTP/1.1 over connections that are kept open, many at a time: a request goes out when a connection is free, and its
// answer is handed over whole. One thread, epoll. Requests that may block are accounts.h's.
#ifndef BENCH_HTTP_H
#define BENCH_HTTP_H

#include <stddef.h>
#include <stdint.h>

struct http_request {
    const char *method;
    const char *token;   // NULL: none. Outlives the request.
    char path[96];
    char body[192];      // "": none
    uint64_t due_ns;     // when it was to be sent; the caller's, like all that follows
    unsigned kind, who, number;
};

struct http_pool;

// Called with each answer; the body ends with a NUL that is not of it. It may send more.
typedef void http_answered(struct http_pool *pool, const struct http_request *request, int status, const char *body,
                           size_t length);

// Opens the connections, blocking. Ends the program when the server refuses one, or later closes one.
struct http_pool *http_open(uint16_t port, unsigned connections, http_answered *answered);
void http_close(struct http_pool *pool);

// Sends a request on a connection that has nothing to do, or keeps it until there is one, in the order of the calls.
void http_send(struct http_pool *pool, const struct http_request *request);
// Requests that have not been answered.
size_t http_unanswered(const struct http_pool *pool);

// Waits at most this long for answers, on all pools.
void http_turn(uint64_t timeout_ns);

#endif
