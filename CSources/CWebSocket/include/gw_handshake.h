// The opening handshake of RFC 6455 section 4.2, from bytes to an answer. No I/O, no allocation; everything in
// a request points into the caller's buffer.
// Owner of the bytes: the caller. Thread: any.
#ifndef GW_HANDSHAKE_H
#define GW_HANDSHAKE_H

#include <stddef.h>
#include <stdint.h>

enum { GW_REQUEST_BYTES_MAX = 8192, GW_REQUEST_HEADERS_MAX = 100, GW_RESPONSE_BYTES_MAX = 640 };

struct gw_span { const char *data; uint32_t length; };

// What permessage-deflate was agreed to be (RFC 7692 section 7.1). Bits are the logarithm of a window, 8 to 15.
struct gw_deflate_terms {
    uint8_t agreed;
    uint8_t server_takeover, client_takeover;    // a message may refer to the one before it
    uint8_t server_bits, client_bits;
    uint8_t server_bits_named;                   // the client asks to be told
};

struct gw_handshake_policy {
    const char *path;                    // without a query; a request may carry one, which is ignored
    const char *const *subprotocols;     // in order of preference, NULL at the end; NULL: none
    const char *const *origins;          // allowed values, NULL at the end; NULL: any. A request without Origin passes
    uint8_t subprotocol_required;
    uint8_t deflate_bits;                // widest window of permessage-deflate; 0: it is declined
};

struct gw_handshake {
    struct gw_span target, host, origin, key, authorization;
    int subprotocol;                     // index into the policy's, -1: none agreed
    struct gw_deflate_terms deflate;     // the caller may take takeovers back before it responds
    int status;                          // 101, or the HTTP status of the refusal
};

enum gw_parse { GW_PARSE_DONE, GW_PARSE_MORE, GW_PARSE_ERROR };

// Feeds the bytes received so far, from the request's first byte. DONE: *consumed bytes were the request (what
// follows is the first frame) and status is 101. MORE: the request is not whole yet. ERROR: status is the
// answer. Linear in length; only the first GW_REQUEST_BYTES_MAX bytes are ever looked at.
//
// Malformed input is refused as soon as it is seen, all else once the request is whole (so that the answer is
// not lost to a reset), with the first of these that applies:
//   400 a line ended by a bare LF, a control character, a space before a colon, a folded line, a name that is no
//       token, a request line that is not three parts; doubled Host, Origin, Authorization, Sec-WebSocket-Key
//       or -Version; an extension list that is none; Transfer-Encoding, or a Content-Length that is not 0
//   431 no end within GW_REQUEST_BYTES_MAX bytes, or more than GW_REQUEST_HEADERS_MAX headers
//   505 not HTTP/1.1             405 not GET             400 no Host, or an empty one
//   404 another path (of an absolute target too; a query is ignored, nothing is decoded)
//   426 no "websocket" in Upgrade, no "upgrade" in Connection (both lists, in any case), or a version not 13
//   400 no key, or not the base64 of 16 bytes
//   403 an Origin that is not in the policy's list (compared byte by byte)
//   400 no common subprotocol where one is required
// Header names match in any case. Extensions but permessage-deflate are declined, and so is that in an offer with
// parameters we can not keep to (gw_deflate.h).
enum gw_parse gw_handshake_parse(const struct gw_handshake_policy *policy, const uint8_t *data, size_t length,
                                 struct gw_handshake *handshake, size_t *consumed);

// Writes the whole response (101 or a refusal, with Connection: close and a one-line body) into out, which
// holds GW_RESPONSE_BYTES_MAX bytes (a subprotocol's name has at most 256). Returns its length.
size_t gw_handshake_respond(const struct gw_handshake_policy *policy, const struct gw_handshake *handshake, char *out);

#endif
