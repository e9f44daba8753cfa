// See lockstep_tls.h.
#include "lockstep_tls.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "client.h"
#include "load/tls.h"

enum { SOCKETS_MAX = 1024, FIRST_BYTES_MAX = 512, RECEIVE_BYTES = 32 * 1024 };

static struct {
    struct ssl_st *tls;
    int secure;
    uint8_t first[FIRST_BYTES_MAX];   // what is to be said once the handshake is done
    size_t first_bytes;
} channels[SOCKETS_MAX];

static void flush(int socket) {
    const uint8_t *data;
    const size_t bytes = tls_pending(channels[socket].tls, &data);
    if (bytes > 0 && send(socket, data, bytes, MSG_NOSIGNAL) != (ssize_t)bytes) {
        die("a client's send: %s", strerror(errno));
    }
    tls_sent(channels[socket].tls);
}

static void shake_hands(int socket) {
    channels[socket].secure = tls_handshake(channels[socket].tls);
    if (channels[socket].secure) {
        tls_write(channels[socket].tls, channels[socket].first, channels[socket].first_bytes);
    }
    flush(socket);
}

static void send_sealed(int socket, const void *data, size_t bytes) {
    if (socket >= SOCKETS_MAX) {
        die("more than %d sockets over TLS", SOCKETS_MAX);
    }
    if (channels[socket].tls == NULL) {
        if (bytes > FIRST_BYTES_MAX) {
            die("%zu bytes are too long to begin with", bytes);
        }
        channels[socket].tls = tls_create();
        memcpy(channels[socket].first, data, bytes);
        channels[socket].first_bytes = bytes;
        shake_hands(socket);
        return;
    }
    tls_write(channels[socket].tls, data, bytes);
    flush(socket);
}

static size_t receive_opened(int socket, void *data, size_t room) {
    static uint8_t sealed[RECEIVE_BYTES];
    ssize_t count;
    while ((count = recv(socket, sealed, sizeof sealed, MSG_DONTWAIT)) > 0) {
        tls_received(channels[socket].tls, sealed, (size_t)count);
    }
    if (count == 0 || errno != EAGAIN) {
        die("a client's receive: %s", count == 0 ? "ended" : strerror(errno));
    }
    if (!channels[socket].secure) {
        shake_hands(socket);
        return 0;
    }
    return tls_read(channels[socket].tls, data, room);
}

const struct lockstep_channel lockstep_tls = { send_sealed, receive_opened };

void lockstep_tls_end(void) {
    for (int socket = 0; socket < SOCKETS_MAX; socket++) {
        if (channels[socket].tls != NULL) {
            tls_destroy(channels[socket].tls);
            channels[socket].tls = NULL;
        }
    }
}
