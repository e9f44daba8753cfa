// What the fuzz targets share. A target is one file, fuzz_<name>.c, with one LLVMFuzzerTestOneInput; a broken
// expectation aborts, which libFuzzer reports with the input that broke it. Single-threaded.
#ifndef FUZZ_H
#define FUZZ_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPECT(condition)                                                                  \
    do {                                                                                   \
        if (!(condition)) {                                                                \
            fprintf(stderr, "%s:%d: expected %s\n", __FILE__, __LINE__, #condition);       \
            abort();                                                                       \
        }                                                                                  \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length);

// A copy that ends where its allocation ends, so that the address sanitizer sees a read past it. To be freed.
static inline uint8_t *fuzz_copy(const uint8_t *data, size_t length) {
    uint8_t *copy = malloc(length > 0 ? length : 1);
    EXPECT(copy != NULL);
    if (length > 0) {
        memcpy(copy, data, length);
    }
    return copy;
}

// The sizes in which an input is fed, as the input itself has them: a byte that says how many there are (up to 15),
// then one byte each, taken in turn and over again. None, or a size of 0, stands for all that is left.
struct fuzz_splits {
    const uint8_t *sizes;
    size_t count, next;
};

// Takes the splits off the front of an input.
static inline struct fuzz_splits fuzz_take_splits(const uint8_t **data, size_t *length) {
    struct fuzz_splits splits = { 0 };
    if (*length > 0) {
        const size_t named = **data % 16, left = *length - 1;
        splits.count = named < left ? named : left;
        splits.sizes = *data + 1;
        *data += 1 + splits.count;
        *length -= 1 + splits.count;
    }
    return splits;
}

static inline size_t fuzz_next_split(struct fuzz_splits *splits, size_t left) {
    const size_t size = splits->count == 0 ? 0 : splits->sizes[splits->next++ % splits->count];
    return size == 0 || size > left ? left : size;
}

#endif
