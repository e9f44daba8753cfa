// A WebSocket echo on libwebsockets, to compare with: binary and text messages of up to 2 MiB, no extensions. One thread,
// its own event loop.
//
//   lws_echo --port N
#include <libwebsockets.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { MESSAGE_BYTES_MAX = 2 << 20, RECEIVE_BYTES = 64 * 1024, OPEN_MAX = 20000 };

// Answers wait here, one after the other, each behind its length.
struct session {
    unsigned char *queue;
    size_t bytes, room, at;
    size_t message_bytes;    // of the one that is arriving
    int binary;
};

static volatile sig_atomic_t stopping;

static void stop(int signal) {
    (void)signal;
    stopping = 1;
}

static int append(unsigned char **data, size_t *bytes, size_t *room, const void *more, size_t length) {
    if (*bytes + length > *room) {
        *room = 2 * (*bytes + length);
        unsigned char *grown = realloc(*data, *room);
        if (grown == NULL) {
            return -1;
        }
        *data = grown;
    }
    memcpy(*data + *bytes, more, length);
    *bytes += length;
    return 0;
}

static int received(struct lws *wsi, struct session *s, const void *data, size_t length) {
    static const unsigned char before[LWS_PRE];
    if (s->message_bytes == 0) {
        // Room for the length now, filled in when the message is whole, and what the library wants in front.
        const size_t unknown = 0;
        if (append(&s->queue, &s->bytes, &s->room, &unknown, sizeof unknown) != 0
            || append(&s->queue, &s->bytes, &s->room, before, LWS_PRE) != 0) {
            return -1;
        }
    }
    if (append(&s->queue, &s->bytes, &s->room, data, length) != 0) {
        return -1;
    }
    s->message_bytes += length;
    if (s->message_bytes > MESSAGE_BYTES_MAX) {
        return -1;
    }
    if (lws_is_final_fragment(wsi) && lws_remaining_packet_payload(wsi) == 0) {
        memcpy(s->queue + s->bytes - s->message_bytes - LWS_PRE - sizeof(size_t), &s->message_bytes, sizeof(size_t));
        s->message_bytes = 0;
        s->binary = lws_frame_is_binary(wsi);
        lws_callback_on_writable(wsi);
    }
    return 0;
}

// The library takes one message a callback.
static int writable(struct lws *wsi, struct session *s) {
    size_t length;
    if (s->at + sizeof length > s->bytes) {
        return 0;
    }
    memcpy(&length, s->queue + s->at, sizeof length);
    if (length == 0) {
        return 0;
    }
    unsigned char *payload = s->queue + s->at + sizeof length + LWS_PRE;
    if (lws_write(wsi, payload, length, s->binary ? LWS_WRITE_BINARY : LWS_WRITE_TEXT) < (int)length) {
        return -1;
    }
    s->at += sizeof length + LWS_PRE + length;
    if (s->at == s->bytes) {
        s->at = s->bytes = 0;
    } else {
        lws_callback_on_writable(wsi);
    }
    return 0;
}

static int handle(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in, size_t length) {
    struct session *s = user;
    switch (reason) {
    case LWS_CALLBACK_RECEIVE: return received(wsi, s, in, length);
    case LWS_CALLBACK_SERVER_WRITEABLE: return writable(wsi, s);
    case LWS_CALLBACK_CLOSED: free(s->queue); return 0;
    default: return 0;
    }
}

int main(int argc, char **argv) {
    if (argc != 3 || strcmp(argv[1], "--port") != 0) {
        return 2;
    }
    static const struct lws_protocols protocols[] = {
        { "echo", handle, sizeof(struct session), RECEIVE_BYTES, 0, NULL, 0 }, { NULL, NULL, 0, 0, 0, NULL, 0 },
    };
    lws_set_log_level(LLL_ERR, NULL);
    const struct lws_context_creation_info info = {
        .port = atoi(argv[2]), .iface = "127.0.0.1", .protocols = protocols, .gid = (gid_t)-1, .uid = (uid_t)-1,
        .fd_limit_per_thread = OPEN_MAX,
    };
    struct lws_context *context = lws_create_context(&info);
    if (context == NULL) {
        return 1;
    }
    sigaction(SIGTERM, &(struct sigaction){ .sa_handler = stop }, NULL);
    while (!stopping && lws_service(context, 0) >= 0) {
    }
    lws_context_destroy(context);
    return 0;
}
