// The raw echo on epoll. Level-triggered, one receive and one send a readable socket, one buffer for all of them: what a
// socket can't take at once is kept for it.
//
// --broadcast    what one socket said is sent to all of them, with a loop of send(2): the floor of a fan-out
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "raw.h"

enum { EVENTS = 512 };

static int broadcasts;
const struct option_spec raw_options[] = { { "--broadcast", OPTION_FLAG, &broadcasts } };
const size_t raw_options_count = sizeof raw_options / sizeof *raw_options;

// What a socket could not take; while there is some it is not read.
struct rest {
    uint8_t *data;
    size_t bytes, at;
};

static struct rest rests[RAW_SOCKETS_MAX];
static int open_sockets[RAW_SOCKETS_MAX], open_count;  // for a broadcast
static int place_of[RAW_SOCKETS_MAX];
static int poller, listening;

static void watch(int socket, int operation, uint32_t events) {
    struct epoll_event event = { .events = events, .data.fd = socket };
    raw_syscalls++;
    epoll_ctl(poller, operation, socket, &event);
}

static void end(int socket) {
    free(rests[socket].data);
    rests[socket] = (struct rest){ 0 };
    const int last = open_sockets[--open_count];
    open_sockets[place_of[socket]] = last;
    place_of[last] = place_of[socket];
    raw_syscalls++;
    close(socket);
}

static void accept_all(void) {
    int socket;
    while (raw_syscalls++, (socket = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (socket >= RAW_SOCKETS_MAX) {
            close(socket);
            continue;
        }
        raw_syscalls++;
        setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int));
        place_of[socket] = open_count;
        open_sockets[open_count++] = socket;
        watch(socket, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static int keep(int socket, const uint8_t *data, size_t bytes) {
    struct rest *rest = &rests[socket];
    uint8_t *grown = realloc(rest->data, rest->bytes + bytes);
    if (grown == NULL) {
        return -1;
    }
    memcpy(grown + rest->bytes, data, bytes);
    rest->data = grown;
    rest->bytes += bytes;
    watch(socket, EPOLL_CTL_MOD, EPOLLOUT);
    return 0;
}

// Returns -1 when the socket has no more use.
static int give(int socket, const uint8_t *data, size_t bytes) {
    if (rests[socket].data != NULL) {
        return keep(socket, data, bytes);
    }
    raw_syscalls++;
    const ssize_t taken = send(socket, data, bytes, MSG_NOSIGNAL);
    if (taken == (ssize_t)bytes) {
        return 0;
    }
    if (taken < 0 && errno != EAGAIN) {
        return -1;
    }
    const size_t done = taken > 0 ? (size_t)taken : 0;
    return keep(socket, data + done, bytes - done);
}

static void readable(int socket) {
    static uint8_t buffer[RAW_BUFFER_BYTES];
    raw_syscalls++;
    const ssize_t count = recv(socket, buffer, sizeof buffer, 0);
    if (count < 0 && errno == EAGAIN) {
        return;
    }
    if (count <= 0) {
        end(socket);
    } else if (!broadcasts) {
        if (give(socket, buffer, (size_t)count) != 0) {
            end(socket);
        }
    } else {
        // One that fails is noticed when it is read: ending it here would change the list under the loop.
        for (int i = 0; i < open_count; i++) {
            (void)give(open_sockets[i], buffer, (size_t)count);
        }
    }
}

static void writable(int socket) {
    struct rest *rest = &rests[socket];
    raw_syscalls++;
    const ssize_t taken = send(socket, rest->data + rest->at, rest->bytes - rest->at, MSG_NOSIGNAL);
    if (taken < 0) {
        if (errno != EAGAIN) {
            end(socket);
        }
        return;
    }
    rest->at += (size_t)taken;
    if (rest->at == rest->bytes) {
        free(rest->data);
        *rest = (struct rest){ 0 };
        watch(socket, EPOLL_CTL_MOD, EPOLLIN);
    }
}

int raw_open(int listener) {
    listening = listener;
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0) {
        return -errno;
    }
    make_nonblocking(listener);
    watch(listener, EPOLL_CTL_ADD, EPOLLIN);
    return 0;
}

int raw_turn(int may_wait) {
    struct epoll_event events[EVENTS];
    raw_syscalls++;
    const int count = epoll_wait(poller, events, EVENTS, may_wait ? -1 : 0);
    for (int i = 0; i < count; i++) {
        const int socket = events[i].data.fd;
        if (socket == listening) {
            accept_all();
        } else if (events[i].events & EPOLLOUT) {
            writable(socket);
        } else {
            readable(socket);
        }
    }
    return count < 0 && errno != EINTR ? -errno : 0;
}
