// Command-line options of the benchmarks' programs: a table of names and where their values go. One thread.
#ifndef BENCH_OPTIONS_H
#define BENCH_OPTIONS_H

#include <stddef.h>

enum option_kind {
    OPTION_FLAG,      // int, set to 1; takes no value
    OPTION_PORT,      // uint16_t
    OPTION_UNSIGNED,  // unsigned
    OPTION_SIZE,      // size_t
    OPTION_COUNT,     // uint64_t
    OPTION_SECONDS,   // double
    OPTION_PID,       // pid_t
    OPTION_TEXT,      // const char *
};

struct option_spec {
    const char *name;
    enum option_kind kind;
    void *value;
};

// Writes the values that the command line gives; the others stay as they are. An unknown name, a missing value or
// one that is no number of its kind ends the program.
void options_parse(int argc, char **argv, const struct option_spec *specs, size_t count);

#endif
