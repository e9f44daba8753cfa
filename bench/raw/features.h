// io_uring of newer kernels than liburing 2.3 and Debian 12's headers know; names and values are those of
// include/uapi/linux/io_uring.h in Linux 6.18.
#ifndef BENCH_RAW_FEATURES_H
#define BENCH_RAW_FEATURES_H

#include <stdint.h>

#define IORING_RECVSEND_BUNDLE (1u << 4)          // of a receive's ioprio: one completion for several buffers
#define IOU_PBUF_RING_INC 2                       // of a buffer ring's flags: a buffer is used up piece by piece
#define IORING_CQE_F_BUF_MORE (1u << 4)           // and the kernel goes on in this one
#define IORING_REGISTER_NAPI 27
#define IORING_REGISTER_SEND_MSG_RING 31          // a message to another ring, by a thread that has none

struct io_uring_buf_reg_flags {                   // struct io_uring_buf_reg, in which flags were padding
    uint64_t ring_addr;
    uint32_t ring_entries;
    uint16_t bgid, flags;
    uint64_t resv[3];
};

struct io_uring_min_wait_arg {                    // struct io_uring_getevents_arg, in which min_wait_usec was padding
    uint64_t sigmask;
    uint32_t sigmask_sz, min_wait_usec;
    uint64_t ts;
};

struct io_uring_napi {
    uint32_t busy_poll_to;
    uint8_t prefer_busy_poll, pad[3];
    uint64_t resv;
};

#endif
