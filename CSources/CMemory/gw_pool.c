// Counted buffers from size classes; see the header for what is promised.
//
// Each class is one reserved range cut into equal strides: a buffer's struct, then its bytes. Buffers never
// handed out lie above `fresh` and have no pages yet, so nothing is touched before it is needed.
//
// Owner and thread: one reactor's.
#include "gw_pool.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>

enum {
    GW_CLASS_BYTES_MIN = GW_BUF_SMALL_BYTES,
    GW_CLASSES_MAX = 12,                   // 512 B << 2 * 11 = 2 GiB
    GW_HEAD_BYTES = 64,                    // a struct gw_buf, and the alignment of what follows
    GW_PAGE_BYTES = 4096,
    GW_COLD_BYTES_MIN = 64 * 1024,         // buffers above this give their pages back,
    GW_WARM_MIN = 2,                       // but for this many a class,
    GW_WARM_SHARE = 2,                     // and for one part in so many of the pool: a page costs more to get than to use
};
static_assert(sizeof(struct gw_buf) <= GW_HEAD_BYTES, "a buffer's struct fits before its bytes");

struct gw_class {
    struct gw_buf *warm;      // free, pages kept; those of class 0 lie in the pool's small
    struct gw_buf *cold;      // free, pages given back
    uint8_t *memory;
    uint64_t memory_bytes;
    uint64_t stride;
    uint64_t fresh, count_max;    // buffers ever handed out, and how many there can be
    uint32_t capacity;
    uint32_t head_bytes;          // from a stride's start to its bytes
    uint32_t warm_count;          // kept for classes that give pages back
};

struct gw_pool {
    struct gw_pool_small small;
    uint64_t warm_bytes;          // of free buffers that could give pages back and have not
    uint32_t buffer_bytes_max;
    uint32_t class_count;
    struct gw_class classes[GW_CLASSES_MAX];
};

// 0 up to 512 bytes, then one more for each factor of four.
static inline uint32_t class_of(uint32_t bytes) {
    const uint32_t units = bytes <= GW_CLASS_BYTES_MIN ? 0 : (bytes - 1) / GW_CLASS_BYTES_MIN;
    const uint32_t bits = units == 0 ? 0 : 32 - (uint32_t)__builtin_clz(units);
    return (bits + 1) / 2;
}

static int class_init(struct gw_class *class, uint32_t index, uint64_t bytes_max) {
    class->capacity = (uint32_t)GW_CLASS_BYTES_MIN << (2 * index);
    // A large buffer's bytes start on a page, so that all of them can be given back while its struct stays.
    class->head_bytes = class->capacity > GW_COLD_BYTES_MIN ? GW_PAGE_BYTES : GW_HEAD_BYTES;
    class->stride = (uint64_t)class->head_bytes + class->capacity;
    class->count_max = bytes_max / class->capacity;
    class->memory_bytes = class->count_max * class->stride;
    if (class->memory_bytes == 0) {
        return 0;
    }
    void *memory = mmap(NULL, class->memory_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        return -errno;
    }
    class->memory = memory;
    return 0;
}

static void classes_deinit(struct gw_pool *pool) {
    for (uint32_t index = 0; index < pool->class_count; index++) {
        struct gw_class *class = &pool->classes[index];
        if (class->memory != NULL) {
            ASAN_UNPOISON_MEMORY_REGION(class->memory, class->memory_bytes);
            munmap(class->memory, class->memory_bytes);
        }
    }
}

int gw_pool_create(uint64_t bytes_max, uint32_t buffer_bytes_max, struct gw_pool **pool) {
    // 1 << 40 keeps the sums below from overflowing, and is more than any machine of today has for one thread.
    if (bytes_max == 0 || bytes_max > 1ull << 40 || buffer_bytes_max == 0 || buffer_bytes_max > 1u << 31) {
        return -EINVAL;
    }
    struct gw_pool *created = calloc(1, sizeof *created);
    if (created == NULL) {
        return -ENOMEM;
    }
    created->small.bytes_max = bytes_max;
    created->class_count = class_of(buffer_bytes_max) + 1;
    for (uint32_t index = 0; index < created->class_count; index++) {
        const int error = class_init(&created->classes[index], index, bytes_max);
        if (error != 0) {
            classes_deinit(created);
            free(created);
            return error;
        }
    }
    created->buffer_bytes_max = created->classes[created->class_count - 1].capacity;
    *pool = created;
    return 0;
}

void gw_pool_destroy(struct gw_pool *pool) {
    assert(pool->small.held_bytes == 0);
    classes_deinit(pool);
    free(pool);
}

static struct gw_buf **warm_list(struct gw_pool *pool, uint32_t index) {
    return index == 0 ? &pool->small.free : &pool->classes[index].warm;
}

static void count_warm(struct gw_pool *pool, struct gw_class *class, int change) {
    if (class->capacity > GW_COLD_BYTES_MIN) {
        class->warm_count += (uint32_t)change;
        pool->warm_bytes += (uint64_t)(change * (int64_t)class->capacity);
    }
}

static int is_warm_enough(const struct gw_pool *pool, const struct gw_class *class) {
    return class->capacity > GW_COLD_BYTES_MIN && class->warm_count >= GW_WARM_MIN
        && pool->warm_bytes + class->capacity > pool->small.bytes_max / GW_WARM_SHARE;
}

static struct gw_buf *buf_take(struct gw_pool *pool, uint32_t index) {
    struct gw_class *class = &pool->classes[index];
    struct gw_buf **warm = warm_list(pool, index), *buf = *warm;
    if (buf != NULL) {
        *warm = buf->next;
        count_warm(pool, class, -1);
    } else if ((buf = class->cold) != NULL) {
        class->cold = buf->next;
    } else if (class->fresh < class->count_max) {
        uint8_t *start = class->memory + class->fresh * class->stride;
        class->fresh++;
        buf = (struct gw_buf *)(start + class->head_bytes - GW_HEAD_BYTES);
        buf->data = start + class->head_bytes;
        buf->capacity = class->capacity;
        buf->size_class = (uint8_t)index;
    }
    return buf;
}

struct gw_buf *gw_buf_acquire(struct gw_pool *pool, uint32_t bytes) {
    const uint32_t index = class_of(bytes);
    if (index >= pool->class_count) {
        return NULL;
    }
    struct gw_class *class = &pool->classes[index];
    if (pool->small.held_bytes + class->capacity > pool->small.bytes_max) {
        return NULL;
    }
    // Never NULL for want of strides: held_bytes bounds the buffers of a class to its count_max.
    struct gw_buf *buf = buf_take(pool, index);
    assert(buf != NULL);
    pool->small.held_bytes += class->capacity;
    ASAN_UNPOISON_MEMORY_REGION(buf->data, buf->capacity);
    buf->next = NULL;
    buf->start = buf->end = 0;
    buf->count = 1;
    return buf;
}

void gw_buf_release(struct gw_pool *pool, struct gw_buf *buf) {
    assert(buf->count > 0);
    if (--buf->count > 0) {
        return;
    }
    struct gw_class *class = &pool->classes[buf->size_class];
    pool->small.held_bytes -= class->capacity;
    if (is_warm_enough(pool, class)) {
        madvise(buf->data, buf->capacity, MADV_DONTNEED);
        buf->next = class->cold;
        class->cold = buf;
    } else {
        struct gw_buf **warm = warm_list(pool, buf->size_class);
        buf->next = *warm;
        *warm = buf;
        count_warm(pool, class, 1);
    }
    ASAN_POISON_MEMORY_REGION(buf->data, buf->capacity);
}

uint32_t gw_buf_class_bytes(uint32_t bytes) { return (uint32_t)GW_CLASS_BYTES_MIN << (2 * class_of(bytes)); }

uint64_t gw_pool_held_bytes(const struct gw_pool *pool) { return pool->small.held_bytes; }

uint32_t gw_pool_buffer_bytes_max(const struct gw_pool *pool) { return pool->buffer_bytes_max; }
