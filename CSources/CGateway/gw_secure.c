// Puts the TLS layer between a reactor and its backend, and renews its certificate. Called at creation and on the
// reactor's thread.
#include <stddef.h>

#include "gw_io_tls.h"
#include "gw_reactor.h"

enum {
    GW_TLS_BUFFERS_PART = 4,               // of pool_bytes_max, once more, for ciphertext
    GW_TLS_BUFFERS_BYTES_MIN = 1 << 20,
};

static int gw_secure_error(int error) {
    switch (error) {
    case GW_TLS_ECERTIFICATE:
        return GW_ETLS_CERTIFICATE;
    case GW_TLS_EKEY:
        return GW_ETLS_KEY;
    case GW_TLS_EMISMATCH:
        return GW_ETLS_MISMATCH;
    default:
        return error;
    }
}

int gw_secure_io(const struct gw_config *config, struct gw_io **io) {
    const uint64_t part = config->pool_bytes_max / GW_TLS_BUFFERS_PART;
    const struct gw_tls_config tls = {
        .certificate_file = config->tls_certificate_file,
        .key_file = config->tls_key_file,
        .sockets_max = config->connections_max,
        .kernel = config->tls_kernel,
        .handshakes_max = config->tls_handshakes_max,
        .buffer_bytes_max = part > GW_TLS_BUFFERS_BYTES_MIN ? part : GW_TLS_BUFFERS_BYTES_MIN,
    };
    return gw_secure_error(gw_io_tls_create(*io, &tls, io));
}

uint32_t gw_reactor_kernel_tls(const struct gw_reactor *r) {
    return r->secure ? gw_io_tls_kernel_versions(r->io) : 0;
}

int gw_reactor_reload_tls(struct gw_reactor *r, const char *certificate_file, const char *key_file) {
    return r->secure ? gw_secure_error(gw_io_tls_reload(r->io, certificate_file, key_file)) : GW_EINVAL;
}
