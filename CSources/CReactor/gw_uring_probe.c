// Whether short sends can be had (gw_uring_front.h): asks the kernel, with a ring and two sockets of its own, that are gone
// when it returns. Everything of a kernel's version is in the answer; no version is looked at.
//
// Owner and thread: the caller's; nothing is kept.
#include <errno.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gw_uring.h"

enum { GW_PROBE_BYTES = 64 * 1024, GW_PROBE_ROOM_BYTES = 8 * 1024, GW_PROBE_SILENT = 1 };

// What the kernel says of a send: its result, or GW_PROBE_SILENT.
static int gw_probe_send(struct io_uring *ring, int fd, uint32_t length, uint32_t message_flags) {
    static const uint8_t nothing[GW_PROBE_BYTES];
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    io_uring_prep_send(sqe, fd, nothing, length, (int)message_flags);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    const int submitted = io_uring_submit_and_get_events(ring);
    struct io_uring_cqe *cqe;
    if (submitted < 0 || io_uring_peek_cqe(ring, &cqe) != 0) {
        return submitted < 0 ? submitted : GW_PROBE_SILENT;
    }
    const int result = cqe->res;
    io_uring_cqe_seen(ring, cqe);
    return result;
}

// A send that has room is not told, one that finds less is told with what it took, one that finds none with -EAGAIN.
static int gw_probe_pair(struct io_uring *ring, const int *pair, uint32_t message_flags) {
    const int room = GW_PROBE_ROOM_BYTES;
    int taken = 0;
    if (setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room) != 0
        || gw_probe_send(ring, pair[0], 1, message_flags) != GW_PROBE_SILENT) {
        return 0;
    }
    const int told = gw_probe_send(ring, pair[0], GW_PROBE_BYTES, message_flags);
    return ioctl(pair[1], FIONREAD, &taken) == 0 && told > GW_PROBE_SILENT && told < GW_PROBE_BYTES && taken == told + 1
        && gw_probe_send(ring, pair[0], GW_PROBE_BYTES, message_flags) == -EAGAIN;
}

int gw_uring_tells_what_it_took(uint32_t message_flags) {
    struct io_uring_params params = { .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN };
    struct io_uring ring;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        return 0;
    }
    int tells = 0;
    if (io_uring_queue_init_params(1, &ring, &params) == 0) {
        tells = gw_probe_pair(&ring, pair, message_flags);
        io_uring_queue_exit(&ring);
    }
    close(pair[0]);
    close(pair[1]);
    return tells;
}
