// Counted buffers from size classes that are reserved once, at start.
//
// Owner: one reactor. Thread: the reactor's; nothing here is atomic.
// Invariants: sum of (capacity of buffers held) = pool->held_bytes <= pool->bytes_max; a buffer is on its
// class's free list or has count >= 1, never both; memory is reserved with mmap at init and committed by the
// first touch, so an idle pool costs address space only. A freed buffer of a class above 64 KiB gives its
// pages back (MADV_DONTNEED) unless its class holds fewer than two warm ones, or all such together less than a
// half of bytes_max: that much of what was ever in use stays with the process.
// No malloc after init. An empty class is NULL, which callers turn into back-pressure.
#ifndef GW_POOL_H
#define GW_POOL_H

#include <stddef.h>
#include <stdint.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define GW_POOL_POISONS 1
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define GW_POOL_POISONS 1
#endif
#ifdef GW_POOL_POISONS
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, bytes) ((void)0)
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes) ((void)0)
#endif

struct gw_pool;

// Lies in front of its bytes; data is 64-byte aligned.
struct gw_buf {
    struct gw_buf *next;   // the holder's list, NULL when alone
    uint8_t *data;
    uint32_t capacity;
    uint32_t start, end;   // bytes in use: data[start, end)
    uint32_t count;        // holders
    uint8_t size_class;
};

// Classes: 512 B, 2 KiB, 8 KiB, 32 KiB ... up to the first that holds buffer_bytes_max; each class may use all
// of bytes_max, the sum of the held may not. 0, -ENOMEM, -EINVAL.
int gw_pool_create(uint64_t bytes_max, uint32_t buffer_bytes_max, struct gw_pool **pool);
void gw_pool_destroy(struct gw_pool *pool);   // asserts that every buffer is back

// The smallest class with capacity >= bytes; count is 1, start = end = 0. NULL: full, or bytes too large.
struct gw_buf *gw_buf_acquire(struct gw_pool *pool, uint32_t bytes);
static inline void gw_buf_retain(struct gw_buf *buf) { buf->count++; }
void gw_buf_release(struct gw_pool *pool, struct gw_buf *buf);

// The same for a buffer of the smallest class, as most are, without a call. Acquiring gives NULL also where
// gw_buf_acquire would still find one.

enum { GW_BUF_SMALL_BYTES = 512 };

// Every pool begins with it.
struct gw_pool_small {
    struct gw_buf *free;             // of the smallest class
    uint64_t held_bytes, bytes_max;  // of the whole pool
};

static inline struct gw_buf *gw_buf_acquire_small(struct gw_pool *pool) {
    struct gw_pool_small *small = (struct gw_pool_small *)pool;
    struct gw_buf *buf = small->free;
    if (buf == NULL || small->held_bytes + GW_BUF_SMALL_BYTES > small->bytes_max) {
        return NULL;
    }
    small->free = buf->next;
    small->held_bytes += GW_BUF_SMALL_BYTES;
    ASAN_UNPOISON_MEMORY_REGION(buf->data, GW_BUF_SMALL_BYTES);
    buf->next = NULL;
    buf->start = buf->end = 0;
    buf->count = 1;
    return buf;
}

static inline void gw_buf_release_inline(struct gw_pool *pool, struct gw_buf *buf) {
    struct gw_pool_small *small = (struct gw_pool_small *)pool;
    if (buf->count > 1) {
        buf->count--;
        return;
    }
    if (buf->size_class != 0) {
        gw_buf_release(pool, buf);
        return;
    }
    buf->count = 0;
    buf->next = small->free;
    small->free = buf;
    small->held_bytes -= GW_BUF_SMALL_BYTES;
    ASAN_POISON_MEMORY_REGION(buf->data, GW_BUF_SMALL_BYTES);
}

// What acquiring so many bytes counts against the pool's bytes_max: the capacity of their class.
uint32_t gw_buf_class_bytes(uint32_t bytes);

static inline uint32_t gw_buf_length(const struct gw_buf *buf) { return buf->end - buf->start; }
static inline uint32_t gw_buf_room(const struct gw_buf *buf) { return buf->capacity - buf->end; }

uint64_t gw_pool_held_bytes(const struct gw_pool *pool);
uint32_t gw_pool_buffer_bytes_max(const struct gw_pool *pool);

#endif
