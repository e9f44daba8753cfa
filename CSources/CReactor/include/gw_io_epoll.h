// The epoll backend of gw_io.h, for machines and containers where io_uring is forbidden: edge-triggered, one
// descriptor a socket, and the same bounded set of receive buffers.
// Owner and thread: the reactor's, as gw_io.h says.
#ifndef GW_IO_EPOLL_H
#define GW_IO_EPOLL_H

#include "gw_io.h"

// -EINVAL: config is out of its range; -EMFILE: sockets_max is above RLIMIT_NOFILE, or no descriptor is left;
// -ENOMEM.
int gw_io_epoll_create(const struct gw_io_config *config, struct gw_io **io);

#endif
