// What the backends over the kernel's sockets share, beside gw_listen.h: the wake, the clock, mapped memory, a record's
// type and the check of a configuration. Nothing here knows how a backend waits.
//
// Owner: a backend. Thread: the reactor's, but for gw_wake_signal, which is any thread's.
#ifndef GW_KERNEL_H
#define GW_KERNEL_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "gw_io.h"

#define GW_NO_SOCKET UINT32_MAX

// Of linux/socket.h, which glibc's headers do not repeat.
#ifndef SOL_TLS
#define SOL_TLS 282
#endif

// The eventfd is waited for, never read: each write is an edge of its own, and 2^64 of them do not happen. The
// state keeps a wake of a thread that does not wait from being a system call.
//   signalled and not yet seen by a turn => state = WOKEN
struct gw_wake {
    int fd;
    atomic_int state;
};

int gw_wake_init(struct gw_wake *wake);
void gw_wake_deinit(struct gw_wake *wake);
void gw_wake_signal(struct gw_wake *wake);

// Before a wait: 0 when a signal has come and there is nothing to wait for. After a turn's system call, whether
// it waited or not: end.
int gw_wake_begin_wait(struct gw_wake *wake);
void gw_wake_end_wait(struct gw_wake *wake);

uint64_t gw_clock_coarse_ms(struct gw_io *io);

// Zeroed and committed by the first touch; NULL: no memory. Unmapping NULL does nothing.
void *gw_map(size_t bytes);
void gw_unmap(void *memory, size_t bytes);

// Makes a message a record of kernel TLS, of that type. What the message then refers to is constant.
void gw_message_set_record_type(struct msghdr *message, uint8_t type);

// 0 or -EINVAL.
int gw_io_config_check(const struct gw_io_config *config);

#endif
