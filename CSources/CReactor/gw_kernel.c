// See the header.
// Owner: a backend. Thread: the reactor's, but for gw_wake_signal.
#include "gw_kernel.h"

#include <assert.h>
#include <errno.h>
#include <linux/tls.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { GW_AWAKE, GW_WAITING, GW_WOKEN };

int gw_wake_init(struct gw_wake *wake) {
    atomic_init(&wake->state, GW_AWAKE);
    wake->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return wake->fd < 0 ? -errno : 0;
}

void gw_wake_deinit(struct gw_wake *wake) {
    if (wake->fd >= 0) {
        close(wake->fd);
    }
}

void gw_wake_signal(struct gw_wake *wake) {
    if (atomic_exchange(&wake->state, GW_WOKEN) == GW_WAITING) {
        const uint64_t one = 1;
        // A full counter could only mean that the thread is being woken already.
        if (write(wake->fd, &one, sizeof one) < 0) {
            assert(errno == EAGAIN);
        }
    }
}

int gw_wake_begin_wait(struct gw_wake *wake) {
    int awake = GW_AWAKE;
    return atomic_compare_exchange_strong(&wake->state, &awake, GW_WAITING);
}

void gw_wake_end_wait(struct gw_wake *wake) { atomic_exchange(&wake->state, GW_AWAKE); }

uint64_t gw_clock_coarse_ms(struct gw_io *io) {
    (void)io;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void *gw_map(size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

void gw_unmap(void *memory, size_t bytes) {
    if (memory != NULL) {
        munmap(memory, bytes);
    }
}

// In memory that stays, because the kernel looks at it again when a message had to wait.
void gw_message_set_record_type(struct msghdr *message, uint8_t type) {
    // As cmsg(3) lays it out, whose struct can't be a part of another.
    static const struct gw_record_type {
        size_t length;
        int level, name;
        uint8_t type;
    } types[] = {
        { CMSG_LEN(sizeof(uint8_t)), SOL_TLS, TLS_SET_RECORD_TYPE, GW_RECORD_ALERT },
        { CMSG_LEN(sizeof(uint8_t)), SOL_TLS, TLS_SET_RECORD_TYPE, GW_RECORD_HANDSHAKE },
    };
    static_assert(sizeof *types == CMSG_SPACE(sizeof(uint8_t)), "no more and no less");
    assert(type == GW_RECORD_ALERT || type == GW_RECORD_HANDSHAKE);
    message->msg_control = (void *)(uintptr_t)&types[type == GW_RECORD_HANDSHAKE];
    message->msg_controllen = sizeof *types;
}

int gw_io_config_check(const struct gw_io_config *config) {
    const uint32_t buffers = config->receive_buffers;
    const int valid = buffers != 0 && buffers <= 32768 && (buffers & (buffers - 1)) == 0 && config->sockets_max != 0
                   && config->receive_buffer_bytes != 0 && config->receive_buffer_bytes % 64 == 0;
    return valid ? 0 : -EINVAL;
}
