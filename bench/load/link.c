// Opens connections one after the other, blocking; see load.h.
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "load.h"
#include "tls.h"

static int send_all(int fd, const void *data, size_t bytes) {
    return send(fd, data, bytes, MSG_NOSIGNAL) == (ssize_t)bytes ? 0 : -EPIPE;
}

static int flush_tls(struct link *link) {
    const uint8_t *data;
    const size_t bytes = tls_pending(link->tls, &data);
    const int error = bytes > 0 ? send_all(link->fd, data, bytes) : 0;
    tls_sent(link->tls);
    return error;
}

// Waits for bytes; with TLS what came is in its keeping, and the answer 0. Returns their number or -errno.
static ssize_t receive(struct link *link, uint8_t *data, size_t room) {
    const ssize_t count = recv(link->fd, data, room, 0);
    if (count <= 0) {
        return count == 0 ? -ECONNRESET : -errno;
    }
    if (link->tls == NULL) {
        return count;
    }
    tls_received(link->tls, data, (size_t)count);
    return 0;
}

static int shake_hands(struct link *link) {
    uint8_t input[4096];
    for (;;) {
        const int done = tls_handshake(link->tls);
        int error = flush_tls(link);
        if (done || error < 0) {
            return error;
        }
        error = (int)receive(link, input, sizeof input);
        if (error < 0) {
            return error;
        }
    }
}

static int upgrade(struct link *link) {
    char request[512], answer[WS_ANSWER_BYTES_MAX + 1];
    const size_t length = ws_request(request, sizeof request, settings.port, settings.path, NULL);
    int error;
    if (link->tls != NULL) {
        tls_write(link->tls, (const uint8_t *)request, length);
        error = flush_tls(link);
    } else {
        error = send_all(link->fd, request, length);
    }
    size_t filled = 0;
    while (error == 0) {
        ssize_t count = receive(link, (uint8_t *)answer + filled, WS_ANSWER_BYTES_MAX - filled);
        if (count < 0) {
            return (int)count;
        }
        if (link->tls != NULL) {
            count = (ssize_t)tls_read(link->tls, (uint8_t *)answer + filled, WS_ANSWER_BYTES_MAX - filled);
        }
        filled += (size_t)count;
        answer[filled] = '\0';
        error = ws_answer(answer);
    }
    return error < 0 ? error : 0;
}

int link_open(struct link *link, unsigned index) {
    *link = (struct link){ .fd = tcp_connect(settings.port, index) };
    if (link->fd < 0) {
        return link->fd;
    }
    int error = 0;
    if (settings.tls) {
        link->tls = tls_create();
        error = shake_hands(link);
    }
    if (error == 0 && !settings.raw) {
        error = upgrade(link);
    }
    if (error < 0) {
        if (link->tls != NULL) {
            tls_destroy(link->tls);
        }
        close(link->fd);
    }
    return error;
}
