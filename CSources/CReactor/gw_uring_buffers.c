// How many receive buffers the kernel's ring holds; see gw_uring.h.
//
// The kernel takes provided buffers in turn, so that even a message now and then touches a page of every buffer in
// the ring. So only those with numbers below buffers_limit are in use; the others are idle and, unless they were in use
// since, without memory. The limit doubles when less than a quarter of it is free, grows fourfold when a receive found
// nothing, and falls by half after a while in which a quarter was enough. A buffer that is in the ring stays until it
// is used, and goes where it is returned.
//   idle_count + buffers in the ring or with the reactor = receive_buffers
//   a number below buffers_limit => not idle;   retiring <=> a number not below it is not idle
// Owner and thread: the reactor's, as gw_uring.h says.
#include <assert.h>
#include <sys/mman.h>
#include <unistd.h>

#include "gw_uring.h"

enum {
    GW_BUFFERS_MIN = 64,
    GW_BUFFERS_QUIET_MS = 10000,
    GW_BUFFERS_LOOK_TURNS = 256,   // the clock is read no more often
};

static void gw_uring_buffers_provide(struct gw_io_uring *u, const uint32_t *buffers, unsigned count) {
    const struct gw_io *io = &u->io;
    struct io_uring_buf *ring = u->buffers->bufs;
    uint8_t *const memory = io->receive_memory;
    const size_t bytes = io->receive_buffer_bytes;
    const unsigned mask = io->receive_buffers - 1, tail = u->buffers->tail;
    for (unsigned done = 0; done < count;) {
        // As many as fit before the ring begins anew.
        const unsigned first = (tail + done) & mask, left = count - done, behind = mask + 1 - first;
        struct io_uring_buf *buf = &ring[first], *const end = buf + (left < behind ? left : behind);
        for (; buf != end; buf++) {
            const uint32_t buffer = buffers[done++];
            buf->addr = (uint64_t)(uintptr_t)(memory + buffer * bytes);
            buf->len = (uint32_t)bytes;   // a bundle may have changed it
            buf->bid = (uint16_t)buffer;
        }
    }
    io_uring_buf_ring_advance(u->buffers, (int)count);
    u->front.buffers_free += count;
    assert(u->front.buffers_free <= io->receive_buffers);
}

static uint32_t gw_uring_buffers_beyond(const struct gw_io_uring *u) {
    return u->io.receive_buffers - u->buffers_limit;
}

// Neighbours share pages, so one look at what lies behind the last in use gives back more than one for each would.
static void gw_uring_buffers_forget(struct gw_io_uring *u) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), all = (size_t)u->io.receive_buffers * u->io.receive_buffer_bytes;
    const size_t used = (size_t)u->buffers_limit * u->io.receive_buffer_bytes, from = (used + page - 1) / page * page;
    if (from < all) {
        (void)madvise(u->io.receive_memory + from, all - from, MADV_DONTNEED);
    }
}

__attribute__((noinline))
static void gw_uring_buffers_retire(struct gw_io_uring *u, const uint32_t *buffers, unsigned count) {
    for (unsigned i = 0; i < count; i++) {
        if (buffers[i] < u->buffers_limit) {
            gw_uring_buffers_provide(u, &buffers[i], 1);
        } else {
            u->idle[u->idle_count++] = buffers[i];
        }
    }
    if (u->idle_count == gw_uring_buffers_beyond(u)) {
        u->buffers_retiring = 0;
        gw_uring_buffers_forget(u);
    }
}

void gw_uring_buffers_return(struct gw_io *io, const uint32_t *buffers, unsigned count) {
    struct gw_io_uring *u = gw_uring(io);
    if (__builtin_expect(u->buffers_retiring, 0)) {
        gw_uring_buffers_retire(u, buffers, count);
    } else {
        gw_uring_buffers_provide(u, buffers, count);
    }
}

// Below a quarter the limit grows; below three quarters it is too busy to fall.
static void gw_uring_buffers_set_low(struct gw_io_uring *u) {
    const uint32_t limit = u->buffers_limit;
    u->buffers_low = limit > GW_BUFFERS_MIN && !u->buffers_busy ? limit - limit / 4
                   : limit < u->io.receive_buffers ? limit / 4 : 0;
}

static void gw_uring_buffers_set_limit(struct gw_io_uring *u, uint32_t limit) {
    u->buffers_limit = limit < u->io.receive_buffers ? limit : u->io.receive_buffers;
    const uint32_t idle_count = u->idle_count;
    u->idle_count = 0;
    for (uint32_t i = 0; i < idle_count; i++) {
        const uint32_t buffer = u->idle[i];
        if (buffer < u->buffers_limit) {
            gw_uring_buffers_provide(u, &buffer, 1);
        } else {
            u->idle[u->idle_count++] = buffer;
        }
    }
    u->buffers_retiring = u->idle_count < gw_uring_buffers_beyond(u);
}

void gw_uring_buffers_init(struct gw_io_uring *u) {
    for (uint32_t buffer = 0; buffer < u->io.receive_buffers; buffer++) {
        u->idle[u->idle_count++] = buffer;
    }
    gw_uring_buffers_set_limit(u, GW_BUFFERS_MIN);
    gw_uring_buffers_set_low(u);
    u->buffers_turns = GW_BUFFERS_LOOK_TURNS;
    u->buffers_busy_ms = gw_clock_coarse_ms(&u->io);
}

void gw_uring_buffers_starved(struct gw_io_uring *u) {
    if (u->buffers_limit < u->io.receive_buffers) {
        u->buffers_busy = 1;
        gw_uring_buffers_set_limit(u, u->buffers_limit * 4);
        gw_uring_buffers_set_low(u);
    }
}

void gw_uring_buffers_adjust(struct gw_io_uring *u) {
    if (u->front.buffers_free < u->buffers_low) {
        u->buffers_busy = 1;
        if (u->front.buffers_free < u->buffers_limit / 4) {
            gw_uring_buffers_set_limit(u, u->buffers_limit * 2);
        }
    }
    if (u->buffers_turns == 0) {
        const uint64_t now = gw_clock_coarse_ms(&u->io);
        u->buffers_turns = GW_BUFFERS_LOOK_TURNS;
        if (u->buffers_busy) {
            u->buffers_busy = 0;
            u->buffers_busy_ms = now;
        } else if (now - u->buffers_busy_ms >= GW_BUFFERS_QUIET_MS && u->buffers_limit > GW_BUFFERS_MIN
                   && !u->buffers_retiring) {
            gw_uring_buffers_set_limit(u, u->buffers_limit / 2);
            u->buffers_busy_ms = now;
        }
    }
    gw_uring_buffers_set_low(u);
}
