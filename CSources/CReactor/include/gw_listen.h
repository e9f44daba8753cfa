// A listening TCP socket as every backend of the kernel's needs it. No accepting here.
// Owner of a descriptor: who opened it. Thread: any.
#ifndef GW_LISTEN_H
#define GW_LISTEN_H

#include <errno.h>
#include <stdint.h>

// See gw_reactor_listen for shared. Returns the descriptor (blocking, close-on-exec) and writes the port, or
// returns -errno. Accepted sockets inherit TCP_NODELAY and TCP_NOTSENT_LOWAT from it.
int gw_listen_open(const char *address, uint16_t port, int shared, uint16_t *bound_port);

// Whether accept's error (-errno) is one connection's trouble or our own doing, and accepting just goes on.
static inline int gw_accept_error_passes(int error) {
    return error == -ECANCELED || error == -ECONNABORTED || error == -EINTR || error == -EPROTO;
}

#endif
