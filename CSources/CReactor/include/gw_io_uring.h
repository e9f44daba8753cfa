// The io_uring backend of gw_io.h, for Linux 6.1 and later: one ring a reactor, direct descriptors, multishot
// accept and receive into a ring of provided buffers.
// Owner and thread: the reactor's, as gw_io.h says.
#ifndef GW_IO_URING_H
#define GW_IO_URING_H

#include "gw_io.h"

// -EPERM, -ENOSYS or -EINVAL: io_uring is forbidden or too old here; -EMFILE: sockets_max is above
// RLIMIT_NOFILE, which bounds a ring's table of direct descriptors too; -ENOMEM.
int gw_io_uring_create(const struct gw_io_config *config, struct gw_io **io);

#endif
