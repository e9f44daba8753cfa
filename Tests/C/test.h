// The tests' harness: CHECK, RUN, seeded random numbers, and memory that ends at a guard page.
//
// A test file is one program; its main is a list of RUN(test) and returns 0.
#ifndef TEST_H
#define TEST_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define HELPER __attribute__((unused)) static

// A failed check ends the program: what follows would only repeat it.
#define CHECK(condition)                                                                   \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, __func__, #condition);  \
            abort();                                                                       \
        }                                                                                  \
    } while (0)

// The same for a row of a table, which says its name.
#define CHECK_ROW(name, condition)                                                                       \
    do {                                                                                                 \
        if (!(condition)) {                                                                              \
            fprintf(stderr, "%s:%d: %s [%s]: %s\n", __FILE__, __LINE__, __func__, (name), #condition);   \
            abort();                                                                                     \
        }                                                                                                \
    } while (0)

#define RUN(test)                                                                          \
    do {                                                                                   \
        if (test_is_wanted(#test)) {                                                       \
            test();                                                                        \
            printf("ok %s\n", #test);                                                      \
            fflush(stdout);                                                                \
        }                                                                                  \
    } while (0)

// FILTER in the environment: the part of a name that a test must have to run.
HELPER bool test_is_wanted(const char *name) {
    const char *filter = getenv("FILTER");
    return filter == NULL || filter[0] == 0 || strstr(name, filter) != NULL;
}

// xorshift64*: the same numbers in every run.
HELPER uint64_t test_random(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1Du;
}

// Bytes between two pages that may not be touched.
struct guarded {
    uint8_t *start, *end;
};

enum { GUARD_BYTES = 4096 };

HELPER struct guarded guarded_map(size_t bytes) {
    const size_t whole = (bytes + GUARD_BYTES - 1) / GUARD_BYTES * GUARD_BYTES;
    uint8_t *memory = mmap(NULL, whole + 2 * GUARD_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory != MAP_FAILED);
    CHECK(mprotect(memory + GUARD_BYTES, whole, PROT_READ | PROT_WRITE) == 0);
    return (struct guarded){ .start = memory + GUARD_BYTES, .end = memory + GUARD_BYTES + whole };
}

HELPER void guarded_unmap(struct guarded memory) {
    munmap(memory.start - GUARD_BYTES, (size_t)(memory.end - memory.start) + 2 * GUARD_BYTES);
}

// A copy that ends right at the guard page.
HELPER uint8_t *guarded_copy(struct guarded memory, const void *data, size_t length) {
    CHECK(length <= (size_t)(memory.end - memory.start));
    if (length > 0) {
        memcpy(memory.end - length, data, length);
    }
    return memory.end - length;
}

#endif
