// The pool: what it lends, what it counts, what it refuses, and what it gives back to the system.
#include <errno.h>

#include "gw_pool.h"
#include "test.h"

enum { KIB = 1024, MIB = 1024 * 1024 };

static struct gw_pool *pool_of(uint64_t bytes_max, uint32_t buffer_bytes_max) {
    struct gw_pool *pool = NULL;
    CHECK(gw_pool_create(bytes_max, buffer_bytes_max, &pool) == 0);
    return pool;
}

static void pool__refuses_sizes_out_of_range(void) {
    struct gw_pool *pool = NULL;
    CHECK(gw_pool_create(0, 512, &pool) == -EINVAL);
    CHECK(gw_pool_create(MIB, 0, &pool) == -EINVAL);
    CHECK(gw_pool_create(MIB, (1u << 31) + 1, &pool) == -EINVAL);
    CHECK(gw_pool_create(UINT64_MAX, 512, &pool) == -EINVAL);
    CHECK(pool == NULL);
}

static void pool__picks_the_smallest_class_that_holds(void) {
    static const struct { uint32_t bytes, capacity; } rows[] = {
        { 0, 512 }, { 1, 512 }, { 512, 512 }, { 513, 2 * KIB }, { 2 * KIB, 2 * KIB }, { 2 * KIB + 1, 8 * KIB },
        { 8 * KIB, 8 * KIB }, { 8 * KIB + 1, 32 * KIB }, { 32 * KIB, 32 * KIB }, { 32 * KIB + 1, 128 * KIB },
        { 128 * KIB, 128 * KIB }, { 128 * KIB + 1, 512 * KIB }, { 512 * KIB + 1, 2 * MIB }, { 2 * MIB, 2 * MIB },
    };
    struct gw_pool *pool = pool_of(8 * MIB, MIB);
    CHECK(gw_pool_buffer_bytes_max(pool) == 2 * MIB);
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        struct gw_buf *buf = gw_buf_acquire(pool, rows[row].bytes);
        CHECK(buf != NULL && buf->capacity == rows[row].capacity);
        CHECK(buf->start == 0 && buf->end == 0 && buf->count == 1 && buf->next == NULL);
        CHECK((uintptr_t)buf->data % 64 == 0);
        CHECK(gw_buf_room(buf) == buf->capacity && gw_buf_length(buf) == 0);
        CHECK(gw_pool_held_bytes(pool) == buf->capacity);
        memset(buf->data, 0xAB, buf->capacity);
        gw_buf_release(pool, buf);
        CHECK(gw_pool_held_bytes(pool) == 0);
    }
    CHECK(gw_buf_acquire(pool, 2 * MIB + 1) == NULL);
    CHECK(gw_buf_acquire(pool, UINT32_MAX) == NULL);
    gw_pool_destroy(pool);
}

static void pool__is_exhausted_at_bytes_max_and_recovers(void) {
    enum { BUFFERS = 16 };
    struct gw_pool *pool = pool_of(BUFFERS * 512 + 511, 512);
    struct gw_buf *held[BUFFERS];
    for (int round = 0; round < 3; round++) {
        for (int index = 0; index < BUFFERS; index++) {
            held[index] = gw_buf_acquire(pool, 512);
            CHECK(held[index] != NULL);
            memset(held[index]->data, index, 512);
        }
        CHECK(gw_buf_acquire(pool, 1) == NULL);
        CHECK(gw_pool_held_bytes(pool) == BUFFERS * 512);
        for (int index = 0; index < BUFFERS; index++) {
            CHECK(held[index]->data[0] == index && held[index]->data[511] == index);
            gw_buf_release(pool, held[index]);
        }
    }
    gw_pool_destroy(pool);
}

static void pool__bounds_the_sum_over_all_classes(void) {
    struct gw_pool *pool = pool_of(16 * KIB, 8 * KIB);
    struct gw_buf *large = gw_buf_acquire(pool, 8 * KIB);
    struct gw_buf *medium = gw_buf_acquire(pool, 2 * KIB);
    CHECK(large != NULL && medium != NULL);
    CHECK(gw_pool_held_bytes(pool) == 10 * KIB);
    CHECK(gw_buf_acquire(pool, 8 * KIB) == NULL);
    struct gw_buf *small = gw_buf_acquire(pool, 100);
    CHECK(small != NULL);
    gw_buf_release(pool, large);
    large = gw_buf_acquire(pool, 8 * KIB);
    CHECK(large != NULL);
    gw_buf_release(pool, small);
    gw_buf_release(pool, medium);
    gw_buf_release(pool, large);
    CHECK(gw_pool_held_bytes(pool) == 0);
    gw_pool_destroy(pool);
}

static void pool__has_nothing_for_a_class_beyond_bytes_max(void) {
    struct gw_pool *pool = pool_of(4 * KIB, MIB);
    CHECK(gw_buf_acquire(pool, 8 * KIB) == NULL);
    CHECK(gw_buf_acquire(pool, MIB) == NULL);
    struct gw_buf *buf = gw_buf_acquire(pool, 2 * KIB);
    CHECK(buf != NULL);
    gw_buf_release(pool, buf);
    gw_pool_destroy(pool);
}

static void pool__keeps_a_buffer_until_its_last_holder_releases(void) {
    struct gw_pool *pool = pool_of(4 * KIB, 512);
    struct gw_buf *buf = gw_buf_acquire(pool, 10);
    gw_buf_retain(buf);
    gw_buf_retain(buf);
    CHECK(buf->count == 3);
    gw_buf_release(pool, buf);
    gw_buf_release(pool, buf);
    CHECK(gw_pool_held_bytes(pool) == 512);
    buf->data[0] = 1;
    gw_buf_release(pool, buf);
    CHECK(gw_pool_held_bytes(pool) == 0);
    gw_pool_destroy(pool);
}

static void pool__lends_a_freed_buffer_again_to_its_own_class_only(void) {
    struct gw_pool *pool = pool_of(64 * KIB, 8 * KIB);
    struct gw_buf *small = gw_buf_acquire(pool, 512);
    struct gw_buf *large = gw_buf_acquire(pool, 8 * KIB);
    small->start = 3;
    small->end = 7;
    gw_buf_release(pool, small);
    gw_buf_release(pool, large);
    struct gw_buf *again_large = gw_buf_acquire(pool, 8 * KIB);
    struct gw_buf *again_small = gw_buf_acquire(pool, 512);
    CHECK(again_small == small && again_large == large);
    CHECK(again_small->start == 0 && again_small->end == 0 && again_small->count == 1);
    gw_buf_release(pool, again_small);
    gw_buf_release(pool, again_large);
    gw_pool_destroy(pool);
}

static size_t resident_pages(const struct gw_buf *buf) {
    unsigned char pages[MIB / 4096];
    size_t count = 0;
    CHECK(buf->capacity / 4096 <= sizeof pages);
    CHECK(mincore(buf->data, buf->capacity, pages) == 0);
    for (size_t page = 0; page < buf->capacity / 4096; page++) {
        count += pages[page] & 1;
    }
    return count;
}

static void check_warm_of_five(uint64_t bytes_max, int warm) {
    enum { BUFFERS = 5 };
    struct gw_pool *pool = pool_of(bytes_max, 512 * KIB);
    struct gw_buf *held[BUFFERS];
    for (int index = 0; index < BUFFERS; index++) {
        held[index] = gw_buf_acquire(pool, 512 * KIB);
        memset(held[index]->data, 1, held[index]->capacity);
        CHECK(resident_pages(held[index]) == 128);
    }
    for (int index = 0; index < BUFFERS; index++) {
        gw_buf_release(pool, held[index]);
    }
    for (int index = 0; index < BUFFERS; index++) {
        CHECK(resident_pages(held[index]) == (index < warm ? 128 : 0));
    }
    // The warm ones are lent first, the cold ones still work.
    for (int index = 0; index < BUFFERS; index++) {
        struct gw_buf *buf = gw_buf_acquire(pool, 512 * KIB);
        CHECK((resident_pages(buf) == 128) == (index < warm));
        memset(buf->data, 2, buf->capacity);
        CHECK(resident_pages(buf) == 128);
    }
    for (int index = 0; index < BUFFERS; index++) {
        gw_buf_release(pool, held[index]);
    }
    gw_pool_destroy(pool);
}

static void pool__gives_the_pages_of_large_buffers_back_but_for_two(void) { check_warm_of_five(2560 * KIB, 2); }

static void pool__keeps_half_of_its_bytes_warm(void) {
    check_warm_of_five(3 * MIB, 3);
    check_warm_of_five(5 * MIB, 5);
}

static void pool__survives_random_traffic(void) {
    enum { HELD = 64, STEPS = 20000 };
    struct gw_pool *pool = pool_of(MIB, 128 * KIB);
    struct gw_buf *held[HELD] = { NULL };
    uint64_t seed = 7, sum = 0;
    for (int step = 0; step < STEPS; step++) {
        const size_t slot = test_random(&seed) % HELD;
        if (held[slot] != NULL) {
            CHECK(held[slot]->data[0] == (uint8_t)slot);
            CHECK(held[slot]->data[held[slot]->capacity - 1] == (uint8_t)slot);
            sum -= held[slot]->capacity;
            gw_buf_release(pool, held[slot]);
            held[slot] = NULL;
        } else {
            held[slot] = gw_buf_acquire(pool, (uint32_t)(test_random(&seed) % (128 * KIB)) >> test_random(&seed) % 12);
            if (held[slot] != NULL) {
                held[slot]->data[0] = held[slot]->data[held[slot]->capacity - 1] = (uint8_t)slot;
                sum += held[slot]->capacity;
            }
        }
        CHECK(gw_pool_held_bytes(pool) == sum && sum <= MIB);
    }
    for (size_t slot = 0; slot < HELD; slot++) {
        if (held[slot] != NULL) {
            gw_buf_release(pool, held[slot]);
        }
    }
    gw_pool_destroy(pool);
}

int main(void) {
    RUN(pool__refuses_sizes_out_of_range);
    RUN(pool__picks_the_smallest_class_that_holds);
    RUN(pool__is_exhausted_at_bytes_max_and_recovers);
    RUN(pool__bounds_the_sum_over_all_classes);
    RUN(pool__has_nothing_for_a_class_beyond_bytes_max);
    RUN(pool__keeps_a_buffer_until_its_last_holder_releases);
    RUN(pool__lends_a_freed_buffer_again_to_its_own_class_only);
    RUN(pool__gives_the_pages_of_large_buffers_back_but_for_two);
    RUN(pool__keeps_half_of_its_bytes_warm);
    RUN(pool__survives_random_traffic);
    return 0;
}
