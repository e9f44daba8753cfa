// Opens listening sockets; see the header. SO_REUSEPORT would let two strangers of the same user share a port
// without either noticing, so the first listener of a process tries the port without it.
// Owner of a descriptor: who opened it. Thread: any.
#include "gw_listen.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gw_io.h"

// What waits for a slow peer waits in our bounded queue, not in the kernel's send buffer, which grows to
// megabytes; and a peer that takes a little is soon seen to do so.
enum { GW_UNSENT_BYTES_MAX = 256 * 1024 };

union gw_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

static int gw_address_parse(const char *text, uint16_t port, union gw_address *address, socklen_t *length) {
    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, text, &address->v4.sin_addr) == 1) {
        address->v4.sin_family = AF_INET;
        address->v4.sin_port = htons(port);
        *length = sizeof address->v4;
        return 0;
    }
    if (inet_pton(AF_INET6, text, &address->v6.sin6_addr) == 1) {
        address->v6.sin6_family = AF_INET6;
        address->v6.sin6_port = htons(port);
        *length = sizeof address->v6;
        return 0;
    }
    return -EINVAL;
}

// Sets *port to the one it got.
static int gw_bind(union gw_address *address, socklen_t length, int reuse_port, uint16_t *port) {
    const int on = 1;
    const int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -errno;
    }
    socklen_t bound_length = length;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0
        || (reuse_port && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0)
        || bind(fd, &address->any, length) != 0
        || getsockname(fd, &address->any, &bound_length) != 0) {
        const int error = -errno;
        close(fd);
        return error;
    }
    *port = ntohs(address->any.sa_family == AF_INET ? address->v4.sin_port : address->v6.sin6_port);
    return fd;
}

int gw_listen_open(const char *text, uint16_t port, int shared, uint16_t *bound_port) {
    union gw_address address;
    socklen_t length = 0;
    const int parsed = gw_address_parse(text, port, &address, &length);
    if (parsed != 0) {
        return parsed;
    }
    if (!shared) {
        // Listening is what makes the kernel refuse: two sockets that only bound with SO_REUSEADDR may coexist.
        const int probe = gw_bind(&address, length, 0, bound_port);
        if (probe < 0) {
            return probe;
        }
        const int error = listen(probe, 1) == 0 ? 0 : -errno;
        close(probe);
        if (error != 0) {
            return error;
        }
    }
    const int fd = gw_bind(&address, length, 1, bound_port);
    if (fd < 0) {
        return fd;
    }
    const int on = 1, unsent = GW_UNSENT_BYTES_MAX;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0
        || setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof unsent) != 0
        || listen(fd, GW_IO_BACKLOG) != 0) {
        const int error = -errno;
        close(fd);
        return error;
    }
    return fd;
}
