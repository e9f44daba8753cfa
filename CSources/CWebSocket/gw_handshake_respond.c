// Writes the answer to an opening handshake: the switch to WebSocket, or a refusal.
// Pure: owns nothing, any thread.
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "gw_deflate.h"
#include "gw_handshake.h"
#include "gw_sha1.h"

enum { KEY_CHARS = 24, ACCEPT_CHARS = 28, SUBPROTOCOL_CHARS_MAX = 256 };

static const struct {
    int status;
    const char *reason;
    const char *headers;    // what the status obliges us to say beside it
    const char *body;
} refusals[] = {
    { 400, "Bad Request", "", "The WebSocket handshake is malformed or lacks a header." },
    { 403, "Forbidden", "", "This origin is not allowed." },
    { 404, "Not Found", "", "There is no WebSocket at this path." },
    { 405, "Method Not Allowed", "Allow: GET\r\n", "A WebSocket is opened with GET." },
    { 426, "Upgrade Required", "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
      "This is a WebSocket endpoint of version 13." },
    { 431, "Request Header Fields Too Large", "", "The request has too many bytes or headers." },
    { 505, "HTTP Version Not Supported", "", "A WebSocket is opened with HTTP/1.1." },
};

// RFC 4648 section 4; out gets 4 characters for each 3 bytes or part of them.
static void encode_base64(const uint8_t *data, size_t length, char *out) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t index = 0; index < length; index += 3) {
        const size_t left = length - index;
        const uint32_t group = (uint32_t)data[index] << 16 | (left > 1 ? (uint32_t)data[index + 1] << 8 : 0) |
                               (left > 2 ? data[index + 2] : 0);
        *out++ = digits[group >> 18];
        *out++ = digits[group >> 12 & 63];
        *out++ = left > 1 ? digits[group >> 6 & 63] : '=';
        *out++ = left > 2 ? digits[group & 63] : '=';
    }
}

// RFC 6455 section 4.2.2, step 5.4.
static void encode_accept(struct gw_span key, char accept[ACCEPT_CHARS]) {
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    uint8_t message[KEY_CHARS + sizeof guid - 1];
    uint8_t digest[GW_SHA1_BYTES];
    assert(key.length == KEY_CHARS);
    memcpy(message, key.data, KEY_CHARS);
    memcpy(message + KEY_CHARS, guid, sizeof guid - 1);
    gw_sha1(message, sizeof message, digest);
    encode_base64(digest, sizeof digest, accept);
}

static int write_switch(const struct gw_handshake_policy *policy, const struct gw_handshake *handshake, char *out) {
    char accept[ACCEPT_CHARS];
    encode_accept(handshake->key, accept);
    const char *name = handshake->subprotocol < 0 ? "" : policy->subprotocols[handshake->subprotocol];
    const char *header = handshake->subprotocol < 0 ? "" : "\r\nSec-WebSocket-Protocol: ";
    char terms[GW_DEFLATE_TERMS_BYTES_MAX] = "";
    if (handshake->deflate.agreed) {
        gw_deflate_write_terms(&handshake->deflate, terms);
    }
    assert(strlen(name) <= SUBPROTOCOL_CHARS_MAX);
    return snprintf(out, GW_RESPONSE_BYTES_MAX,
                    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    "Sec-WebSocket-Accept: %.*s%s%s%s%s\r\n\r\n",
                    ACCEPT_CHARS, accept, header, name,
                    terms[0] != 0 ? "\r\nSec-WebSocket-Extensions: " : "", terms);
}

static int write_refusal(int status, char *out) {
    size_t index = 0;
    while (refusals[index].status != status) {
        index++;
        assert(index < sizeof refusals / sizeof refusals[0]);
    }
    return snprintf(out, GW_RESPONSE_BYTES_MAX,
                    "HTTP/1.1 %d %s\r\nConnection: %sclose\r\n%sContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n"
                    "%s\n",
                    status, refusals[index].reason, status == 426 ? "Upgrade, " : "", refusals[index].headers,
                    strlen(refusals[index].body) + 1, refusals[index].body);
}

size_t gw_handshake_respond(const struct gw_handshake_policy *policy, const struct gw_handshake *handshake, char *out) {
    const int length = handshake->status == 101 ? write_switch(policy, handshake, out)
                                                : write_refusal(handshake->status, out);
    assert(length > 0 && length < GW_RESPONSE_BYTES_MAX);
    return (size_t)length;
}
