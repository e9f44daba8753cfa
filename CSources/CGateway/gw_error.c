// What the core's error codes say, in one table.
// Constant; any thread.
#define _GNU_SOURCE   // strerrordesc_np
#include <string.h>

#include "gw_gateway.h"

static const char *const gw_errors[] = {
    "the connection has ended",
    "the connection's outbound queue is full",
    "the reactor's buffers are all in use",
    "the frame is larger than any buffer",
    "the connection is closing",
    "an argument is out of its range",
    "the TLS certificate file can't be read or holds no PEM certificate",
    "the TLS key file can't be read or holds no PEM key without a passphrase",
    "the TLS key does not belong to the certificate",
};

const char *gw_strerror(int error) {
    const int index = GW_ENOCONN - error;
    if (index >= 0 && index < (int)(sizeof gw_errors / sizeof *gw_errors)) {
        return gw_errors[index];
    }
    const char *description = strerrordesc_np(error < 0 ? -error : error);
    return description != NULL ? description : "unknown error";
}
