// The io_uring backend's creation and its end; see gw_io_uring.h.
// Owner: one reactor. Thread: any one until the first turn, the reactor's from then on.
#include "gw_io_uring.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gw_uring.h"

static size_t gw_uring_receive_bytes(const struct gw_io *io) {
    return (size_t)io->receive_buffers * io->receive_buffer_bytes;
}

static size_t gw_uring_buf_ring_bytes(const struct gw_io *io) {
    return (size_t)io->receive_buffers * sizeof(struct io_uring_buf);
}

static size_t gw_uring_idle_bytes(const struct gw_io *io) {
    return (size_t)io->receive_buffers * sizeof(uint32_t);
}

static void gw_uring_free(struct gw_io_uring *u) {
    gw_wake_deinit(&u->wake);
    gw_unmap(u->sockets, u->sockets_max * sizeof *u->sockets);
    gw_unmap(u->buffers, gw_uring_buf_ring_bytes(&u->io));
    gw_unmap(u->idle, gw_uring_idle_bytes(&u->io));
    gw_unmap(u->io.receive_memory, gw_uring_receive_bytes(&u->io));
    free(u);
}

// Nothing may still write to the receive buffers when they are unmapped: the requests end first, then the
// sockets, and only then the ring.
void gw_uring_destroy(struct gw_io *io) {
    struct gw_io_uring *u = gw_uring(io);
    gw_uring_stop_listening(io);
    if (u->enabled) {
        struct io_uring_sync_cancel_reg all = {
            .fd = -1, .flags = IORING_ASYNC_CANCEL_ANY | IORING_ASYNC_CANCEL_ALL,
            .timeout = { .tv_sec = -1, .tv_nsec = -1 },
        };
        (void)io_uring_register_sync_cancel(&u->ring, &all);
    }
    (void)io_uring_unregister_files(&u->ring);
    (void)io_uring_unregister_buf_ring(&u->ring, GW_BUFFER_GROUP);
    io_uring_queue_exit(&u->ring);
    gw_uring_free(u);
}

// What the backend asks of its ring, and nothing else: should an attacker ever write requests of their own, the kernel
// opens, reads and connects nothing for them.
static int gw_uring_restrict(struct gw_io_uring *u, int options_wanted) {
    static const uint8_t requests[] = {
        IORING_OP_ACCEPT, IORING_OP_RECV, IORING_OP_SEND, IORING_OP_SENDMSG, IORING_OP_SHUTDOWN, IORING_OP_CLOSE,
        IORING_OP_ASYNC_CANCEL, IORING_OP_POLL_ADD, IORING_OP_NOP, IORING_OP_URING_CMD,
    };
    const size_t requests_count = sizeof requests - !options_wanted;   // the last one is for options alone
    static const uint8_t registrations[] = {
        IORING_REGISTER_RING_FDS, IORING_UNREGISTER_RING_FDS, IORING_REGISTER_SYNC_CANCEL, IORING_UNREGISTER_FILES,
        IORING_UNREGISTER_PBUF_RING,
    };
    struct io_uring_restriction allowed[sizeof requests + sizeof registrations + 1] = {
        { .opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED,
          .sqe_flags = IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT | IOSQE_CQE_SKIP_SUCCESS },
    };
    unsigned count = 1;
    for (size_t i = 0; i < requests_count; i++) {
        allowed[count++] = (struct io_uring_restriction){ .opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = requests[i] };
    }
    for (size_t i = 0; i < sizeof registrations; i++) {
        allowed[count++] = (struct io_uring_restriction){ .opcode = IORING_RESTRICTION_REGISTER_OP,
                                                          .register_op = registrations[i] };
    }
    // liburing 2.3 declares a function for this and does not export it.
    const long result = syscall(SYS_io_uring_register, u->ring.ring_fd, IORING_REGISTER_RESTRICTIONS, allowed, count);
    return result < 0 ? -errno : 0;
}

// The ring starts disabled: its one submitter is then the thread that takes the first turn, not the one that
// creates it.
static int gw_uring_open_ring(struct gw_io_uring *u, int options_wanted) {
    const uint32_t completions = 4 * u->io.receive_buffers;
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG
               | IORING_SETUP_R_DISABLED | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP,
        .cq_entries = completions > GW_COMPLETIONS_MIN ? completions : GW_COMPLETIONS_MIN,
    };
    int error = io_uring_queue_init_params(GW_SUBMISSIONS, &u->ring, &params);
    if (error < 0) {
        return error;
    }
    u->stats.bytes += params.sq_entries * sizeof(struct io_uring_sqe) + params.cq_entries * sizeof(struct io_uring_cqe);
    struct io_uring_buf_reg registration = {
        .ring_addr = (uint64_t)(uintptr_t)u->buffers, .ring_entries = u->io.receive_buffers, .bgid = GW_BUFFER_GROUP,
    };
    error = io_uring_register_files_sparse(&u->ring, u->sockets_max);
    if (error >= 0) {
        error = io_uring_register_buf_ring(&u->ring, &registration, 0);
    }
    if (error >= 0) {
        error = gw_uring_restrict(u, options_wanted);
    }
    if (error < 0) {
        io_uring_queue_exit(&u->ring);
        return error;
    }
    u->bundles = (params.features & IORING_FEAT_RECVSEND_BUNDLE) != 0;
    u->short_sends = (uint8_t)gw_uring_tells_what_it_took(GW_SHORT_SEND_FLAGS);
    u->front.buffers = u->buffers;
    u->front.buffers_mask = u->io.receive_buffers - 1;
    u->front.buffer_bytes = u->io.receive_buffer_bytes;
    u->front.completions = u->ring.cq.cqes;
    u->front.head = u->ring.cq.khead;
    u->front.tail = u->ring.cq.ktail;
    u->front.mask = u->ring.cq.ring_mask;
    u->front.requests = u->ring.sq.sqes;
    u->front.requests_taken = u->ring.sq.khead;
    u->front.requests_tail = &u->ring.sq.sqe_tail;
    u->front.requests_count = u->ring.sq.ring_entries;
    u->front.begin = gw_uring_begin;
    u->front.complete = gw_uring_complete;
    u->front.end = gw_uring_end;
    u->front.row = u->front.row_end = u->front.request = u->front.requests;
    u->front.epoch = gw_uring_no_front.epoch;
    io_uring_buf_ring_init(u->buffers);
    gw_uring_buffers_init(u);
    return 0;
}

int gw_io_uring_create(const struct gw_io_config *config, struct gw_io **io) {
    const int valid = gw_io_config_check(config);
    if (valid != 0) {
        return valid;
    }
    struct gw_io_uring *u = calloc(1, sizeof *u);
    if (u == NULL) {
        return -ENOMEM;
    }
    u->io.ops = &gw_uring_ops;
    u->io.front = &u->front;
    u->io.receive_buffers = config->receive_buffers;
    u->io.receive_buffer_bytes = config->receive_buffer_bytes;
    u->sockets_max = config->sockets_max;
    u->peers_wanted = config->peers_wanted;
    u->starved_first = u->starved_last = GW_NO_SOCKET;
    u->listen_fd = -1;
    u->io.receive_memory = gw_map(gw_uring_receive_bytes(&u->io));
    u->buffers = gw_map(gw_uring_buf_ring_bytes(&u->io));
    u->idle = gw_map(gw_uring_idle_bytes(&u->io));
    u->sockets = gw_map(u->sockets_max * sizeof *u->sockets);
    u->stats.bytes = sizeof *u + gw_uring_receive_bytes(&u->io) + gw_uring_buf_ring_bytes(&u->io)
                   + gw_uring_idle_bytes(&u->io) + u->sockets_max * sizeof *u->sockets;
    int error = gw_wake_init(&u->wake);
    if (u->io.receive_memory == NULL || u->buffers == NULL || u->idle == NULL || u->sockets == NULL) {
        error = -ENOMEM;
    }
    if (error == 0) {
        error = gw_uring_open_ring(u, config->options_wanted);
    }
    if (error < 0) {
        gw_uring_free(u);
        return error;
    }
    *io = &u->io;
    return 0;
}
