// See raw.h.
#include <errno.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "raw.h"

int raw_listen(uint16_t *port) {
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(*port) };
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)) != 0
        || bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 4096) != 0
        || getsockname(listener, (struct sockaddr *)&address, &length) != 0) {
        return -errno;
    }
    *port = ntohs(address.sin_port);
    return listener;
}
