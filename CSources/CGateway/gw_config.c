// A reactor's configuration: defaults, ranges, and a copy of the strings, so that the caller's may go.
// Owner: the caller until gw_reactor_create, of the copy the reactor. Thread: the creating one.
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "gw_reactor.h"

enum {
    GW_BYTES_MAX = 1 << 30,              // of a message, of a queue
    GW_POOL_BYTES_MIN = 128 << 10,
    GW_SUBPROTOCOLS_MAX = GW_NO_SUBPROTOCOL,
};

void gw_config_init(struct gw_config *config) {
    *config = (struct gw_config){
        .connections_max = 10000,
        .message_bytes_max = 1 << 20,
        .fragments_max = 16384,
        .outbound_bytes_max = 1 << 20,
        .pool_bytes_max = 256u << 20,
        .receive_buffers = 512,
        .receive_buffer_bytes = 16384 + 64,   // a 16 KiB message lies whole in one
        .handshake_ms = 10000,
        .idle_ms = 120000,
        .idle_code = 1001,   // going away, RFC 6455 section 7.4.1
        .write_stall_ms = 20000,
        .close_ms = 5000,
        .batch_events_max = 1024,
        .path = "/ws",
        .tls_handshakes_max = 1024,
        .deflate = 1,
        .deflate_bits = 12,
        .deflate_level = 1,
        .deflate_threshold_bytes = 512,
        .deflate_bytes_max = 64u << 20,
    };
}

static size_t gw_strings_count(const char *const *strings) {
    size_t count = 0;
    while (strings != NULL && strings[count] != NULL) {
        count++;
    }
    return count;
}

static int gw_in_range(uint64_t value, uint64_t low, uint64_t high) { return value >= low && value <= high; }

int gw_config_check(const struct gw_config *config) {
    const int valid =
        gw_in_range(config->connections_max, 1, 1u << 24)
        && gw_in_range(config->message_bytes_max, 1, GW_BYTES_MAX)
        && gw_in_range(config->fragments_max, 1, UINT32_MAX)
        && (config->untrusted_max == 0 || config->untrusted_per_peer_max > 0)
        && gw_in_range(config->outbound_bytes_max, 1, GW_BYTES_MAX)
        && gw_in_range(config->pool_bytes_max, GW_POOL_BYTES_MIN, UINT64_MAX)
        && config->pool_bytes_max / 4 >= config->message_bytes_max   // the classes grow by 4
        && gw_in_range(config->receive_buffers, 1, 32768)
        && (config->receive_buffers & (config->receive_buffers - 1)) == 0
        && gw_in_range(config->receive_buffer_bytes, 64, GW_BYTES_MAX)
        && config->receive_buffer_bytes % 64 == 0
        && gw_in_range(config->handshake_ms, 1, INT32_MAX)
        && gw_in_range(config->idle_ms, 0, INT32_MAX)
        && gw_in_range(config->write_stall_ms, 1, INT32_MAX)
        && gw_in_range(config->close_ms, 1, INT32_MAX)
        && gw_in_range(config->batch_events_max, 1, UINT16_MAX)
        && gw_in_range(config->backend, GW_BACKEND_AUTOMATIC, GW_BACKEND_EPOLL)
        && (config->tls_certificate_file == NULL) == (config->tls_key_file == NULL)
        && gw_in_range(config->tls_handshakes_max, 1, UINT32_MAX)
        && gw_in_range(config->deflate_bits, GW_DEFLATE_BITS_SEND_MIN, GW_DEFLATE_BITS_MAX)
        && gw_in_range(config->deflate_level, 1, 9)
        && gw_in_range(config->deflate_threshold_bytes, GW_WS_CONTROL_BYTES_MAX + 1, UINT32_MAX)
        && config->path != NULL && config->path[0] == '/'
        && gw_strings_count(config->subprotocols) < GW_SUBPROTOCOLS_MAX;
    return valid ? 0 : GW_EINVAL;
}

static void gw_strings_free(const char *const *strings) {
    for (size_t i = 0; strings != NULL && strings[i] != NULL; i++) {
        free((void *)(uintptr_t)strings[i]);
    }
    free((void *)(uintptr_t)strings);
}

static int gw_strings_copy(const char *const *from, const char *const **to) {
    *to = NULL;
    if (from == NULL) {
        return 0;
    }
    const size_t count = gw_strings_count(from);
    char **list = calloc(count + 1, sizeof *list);
    if (list == NULL) {
        return -ENOMEM;
    }
    *to = (const char *const *)list;
    for (size_t i = 0; i < count; i++) {
        list[i] = strdup(from[i]);
        if (list[i] == NULL) {
            return -ENOMEM;
        }
    }
    return 0;
}

int gw_config_copy_policy(const struct gw_config *config, struct gw_handshake_policy *policy) {
    policy->subprotocol_required = config->subprotocol_required;
    policy->deflate_bits = config->deflate ? config->deflate_bits : 0;
    policy->path = strdup(config->path);
    if (policy->path == NULL || gw_strings_copy(config->subprotocols, &policy->subprotocols) != 0
        || gw_strings_copy(config->origins, &policy->origins) != 0) {
        return -ENOMEM;
    }
    return 0;
}

void gw_config_free_policy(struct gw_handshake_policy *policy) {
    free((void *)(uintptr_t)policy->path);
    gw_strings_free(policy->subprotocols);
    gw_strings_free(policy->origins);
}
