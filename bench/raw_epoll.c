// A TCP echo on epoll with nothing above it: the other floor that the gateway's cost per message is compared with.
// Level-triggered, one receive and one send a readable socket, one buffer for all of them: what a socket can't take
// at once is kept for it. One thread.
//
//   raw_epoll [--port N] [--broadcast]
//
// --broadcast sends what one socket said to all of them, with a loop of send(2): the floor of a fan-out.
#define _GNU_SOURCE
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SOCKETS_MAX = 20000, EVENTS = 512, BUFFER_BYTES = 16384 + 64 };

// What a socket could not take; while there is some it is not read.
struct rest {
    uint8_t *data;
    size_t bytes, at;
};

static struct rest rests[SOCKETS_MAX];
static int open_sockets[SOCKETS_MAX], open_count;  // for --broadcast
static int place_of[SOCKETS_MAX];
static int poller, broadcasting;
static volatile sig_atomic_t stopping;

static void stop(int signal) {
    (void)signal;
    stopping = 1;
}

static int fail(const char *what) {
    fprintf(stderr, "raw_epoll: %s: %s\n", what, strerror(errno));
    return 1;
}

static void watch(int socket, int operation, uint32_t events) {
    struct epoll_event event = { .events = events, .data.fd = socket };
    epoll_ctl(poller, operation, socket, &event);
}

static void end(int socket) {
    free(rests[socket].data);
    rests[socket] = (struct rest){ 0 };
    const int last = open_sockets[--open_count];
    open_sockets[place_of[socket]] = last;
    place_of[last] = place_of[socket];
    close(socket);
}

static void accept_all(int listener) {
    int socket;
    while ((socket = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        if (socket >= SOCKETS_MAX) {
            close(socket);
            continue;
        }
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
    static uint8_t buffer[BUFFER_BYTES];
    const ssize_t count = recv(socket, buffer, sizeof buffer, 0);
    if (count < 0 && errno == EAGAIN) {
        return;
    }
    if (count <= 0) {
        end(socket);
    } else if (!broadcasting) {
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

static int listen_on(uint16_t port) {
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)) != 0
        || bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 4096) != 0
        || getsockname(listener, (struct sockaddr *)&address, &length) != 0) {
        return -1;
    }
    printf("listening on 127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    return listener;
}

int main(int argc, char **argv) {
    uint16_t port = 0;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--broadcast") == 0) {
            broadcasting = 1;
        } else if (strcmp(argv[i], "--port") == 0 && i + 1 < argc) {
            port = (uint16_t)atoi(argv[++i]);
        } else {
            errno = EINVAL;
            return fail("usage: raw_epoll [--port N] [--broadcast]");
        }
    }
    sigaction(SIGINT, &(struct sigaction){ .sa_handler = stop }, NULL);
    sigaction(SIGTERM, &(struct sigaction){ .sa_handler = stop }, NULL);
    const int listener = listen_on(port);
    poller = epoll_create1(EPOLL_CLOEXEC);
    if (listener < 0 || poller < 0) {
        return fail("listen");
    }
    watch(listener, EPOLL_CTL_ADD, EPOLLIN);
    while (!stopping) {
        struct epoll_event events[EVENTS];
        const int count = epoll_wait(poller, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            const int socket = events[i].data.fd;
            if (socket == listener) {
                accept_all(listener);
            } else if (events[i].events & EPOLLOUT) {
                writable(socket);
            } else {
                readable(socket);
            }
        }
    }
    return 0;
}
