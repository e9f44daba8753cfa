// The epoll backend's creation and its end; see gw_io_epoll.h.
// Owner: one reactor. Thread: any one until the first turn, the reactor's from then on.
#include "gw_io_epoll.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "gw_epoll.h"

int gw_epoll_watch(struct gw_io_epoll *e, int fd, uint32_t edges, uint64_t data) {
    struct epoll_event event = { .events = edges | EPOLLET, .data.u64 = data };
    e->stats.syscalls++;
    return epoll_ctl(e->poll_fd, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

static size_t gw_epoll_receive_bytes(const struct gw_io *io) {
    return (size_t)io->receive_buffers * io->receive_buffer_bytes;
}

void gw_epoll_destroy(struct gw_io *io) {
    struct gw_io_epoll *e = gw_epoll(io);
    gw_epoll_stop_listening(io);
    for (uint32_t socket = 0; socket < e->sockets_touched; socket++) {
        if ((e->sockets[socket].flags & (GW_EPOLL_OPEN | GW_EPOLL_CLOSING)) == GW_EPOLL_OPEN) {
            close(e->sockets[socket].fd);
        }
    }
    gw_wake_deinit(&e->wake);
    if (e->poll_fd >= 0) {
        close(e->poll_fd);
    }
    gw_unmap(e->sockets, e->sockets_max * sizeof *e->sockets);
    gw_unmap(io->receive_memory, gw_epoll_receive_bytes(io));
    gw_epoll_front_close(e);
    free(e->buffers);
    free(e);
}

static int gw_epoll_open(struct gw_io_epoll *e) {
    if (e->io.receive_memory == NULL || e->sockets == NULL || e->buffers == NULL) {
        return -ENOMEM;
    }
    e->poll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (e->poll_fd < 0) {
        return -errno;
    }
    const int error = gw_wake_init(&e->wake);
    return error != 0 ? error : gw_epoll_watch(e, e->wake.fd, EPOLLIN, GW_EDGE_WAKE);
}

int gw_io_epoll_create(const struct gw_io_config *config, struct gw_io **io) {
    const int valid = gw_io_config_check(config);
    if (valid != 0) {
        return valid;
    }
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && config->sockets_max > limit.rlim_cur) {
        return -EMFILE;
    }
    struct gw_io_epoll *e = calloc(1, sizeof *e);
    if (e == NULL) {
        return -ENOMEM;
    }
    e->io.ops = &gw_epoll_ops;
    e->io.receive_buffers = config->receive_buffers;
    e->io.receive_buffer_bytes = config->receive_buffer_bytes;
    e->sockets_max = config->sockets_max;
    e->peers_wanted = config->peers_wanted;
    e->socket_free = GW_NO_SOCKET;
    e->ready = e->starved = e->reports = (struct gw_socket_list){ GW_NO_SOCKET, GW_NO_SOCKET };
    e->poll_fd = e->listen_fd = e->wake.fd = -1;
    e->io.receive_memory = gw_map(gw_epoll_receive_bytes(&e->io));
    e->sockets = gw_map(e->sockets_max * sizeof *e->sockets);
    e->buffers = calloc(config->receive_buffers, sizeof *e->buffers);
    int error = gw_epoll_front_open(e);
    if (error == 0) {
        error = gw_epoll_open(e);
    }
    if (error != 0) {
        gw_epoll_destroy(&e->io);
        return error;
    }
    // Taken from the end: the lowest first, so that a quiet server touches few.
    for (uint32_t buffer = config->receive_buffers; buffer > 0; buffer--) {
        e->buffers[e->buffers_free++] = buffer - 1;
    }
    e->stats.bytes = sizeof *e + gw_epoll_receive_bytes(&e->io) + e->sockets_max * sizeof *e->sockets
                   + config->receive_buffers * sizeof *e->buffers + gw_epoll_front_bytes();
    *io = &e->io;
    return 0;
}
