// See options.h.
#include "options.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "client.h"

static uint64_t whole_number(const char *name, const char *text, uint64_t most) {
    char *end;
    errno = 0;
    const unsigned long long value = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-' || value > most) {
        die("%s: %s is no number of its kind", name, text);
    }
    return value;
}

static void store(const struct option_spec *spec, const char *text) {
    char *end;
    switch (spec->kind) {
    case OPTION_FLAG: *(int *)spec->value = 1; break;
    case OPTION_PORT: *(uint16_t *)spec->value = (uint16_t)whole_number(spec->name, text, UINT16_MAX); break;
    case OPTION_UNSIGNED: *(unsigned *)spec->value = (unsigned)whole_number(spec->name, text, UINT32_MAX); break;
    case OPTION_SIZE: *(size_t *)spec->value = (size_t)whole_number(spec->name, text, SIZE_MAX); break;
    case OPTION_COUNT: *(uint64_t *)spec->value = whole_number(spec->name, text, UINT64_MAX); break;
    case OPTION_PID: *(pid_t *)spec->value = (pid_t)whole_number(spec->name, text, INT32_MAX); break;
    case OPTION_TEXT: *(const char **)spec->value = text; break;
    case OPTION_SECONDS:
        *(double *)spec->value = strtod(text, &end);
        if (end == text || *end != '\0' || *(double *)spec->value < 0) {
            die("%s: %s is no time in seconds", spec->name, text);
        }
        break;
    }
}

void options_parse(int argc, char **argv, const struct option_spec *specs, size_t count) {
    for (int i = 1; i < argc; i++) {
        const struct option_spec *spec = specs;
        while (spec < specs + count && strcmp(spec->name, argv[i]) != 0) {
            spec++;
        }
        if (spec == specs + count) {
            die("unknown option %s", argv[i]);
        }
        if (spec->kind != OPTION_FLAG && i + 1 == argc) {
            die("%s needs a value", argv[i]);
        }
        store(spec, spec->kind == OPTION_FLAG ? NULL : argv[++i]);
    }
}
