// The opening handshake: what passes, what is refused and with which status, however it arrives; and the answers.
#include "gw_handshake.h"
#include "gw_sha1.h"
#include "test.h"

#define START "GET /ws HTTP/1.1\r\n"
#define HOST "Host: example.com\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"
#define END "\r\n"
#define GOOD START HOST UPGRADE KEY VERSION

static const char *const subprotocols[] = { "ringway.v1.proto", "ringway.v1.json", NULL };
static const char *const origins[] = { "https://example.com", "http://localhost:3000", NULL };
static const struct gw_handshake_policy open_policy = { .path = "/ws" };
static const struct gw_handshake_policy strict_policy = {
    .path = "/ws", .subprotocols = subprotocols, .origins = origins, .subprotocol_required = 1,
};
static const struct gw_handshake_policy offering_policy = { .path = "/ws", .subprotocols = subprotocols };

// Feeds every beginning of the request in turn (all of them or random ones), as a socket would bring it, each
// ending at the guard page. A request that is refused early is refused the same with all that follows it.
static int feed(const struct gw_handshake_policy *policy, const char *request, size_t length, unsigned way,
                struct gw_handshake *handshake, size_t *consumed) {
    static struct guarded memory;
    if (memory.start == NULL) {
        memory = guarded_map(128 * 1024);
    }
    uint64_t seed = way + 1;
    size_t at = way == 0 ? length : 0;
    for (;;) {
        const uint8_t *data = guarded_copy(memory, request, at);
        const enum gw_parse parse = gw_handshake_parse(policy, data, at, handshake, consumed);
        CHECK(*consumed <= at);
        if (parse != GW_PARSE_MORE) {
            CHECK((parse == GW_PARSE_DONE) == (handshake->status == 101));
            return handshake->status;
        }
        if (at == length) {
            return 0;
        }
        at += way == 1 ? 1 : 1 + test_random(&seed) % (length - at);
    }
}

static void check_status(const char *name, const struct gw_handshake_policy *policy, const char *request,
                         size_t length, int status) {
    struct gw_handshake handshake;
    size_t consumed;
    for (unsigned way = 0; way < 6; way++) {
        const int got = feed(policy, request, length, way, &handshake, &consumed);
        if (got != status) {
            fprintf(stderr, "[%s] fed in way %u: %d, wanted %d\n", name, way, got, status);
            abort();
        }
    }
}

struct row {
    const char *name, *request;
    size_t length;
    int status;
};
#define ROW(status, name, request) { name, request, sizeof request - 1, status }

static void check_rows(const struct gw_handshake_policy *policy, const struct row *rows, size_t count) {
    for (size_t row = 0; row < count; row++) {
        check_status(rows[row].name, policy, rows[row].request, rows[row].length, rows[row].status);
    }
}
#define CHECK_ROWS(policy, rows) check_rows(policy, rows, sizeof rows / sizeof rows[0])

static void handshake__accepts_what_the_rfc_allows(void) {
    static const struct row rows[] = {
        ROW(101, "plain", GOOD END),
        ROW(101, "names in any case",
            "GET /ws HTTP/1.1\r\nhOST: h\r\nUPGRADE: WebSocket\r\nconnection: uPGRADE\r\n"
            "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nSEC-WEBSOCKET-VERSION: 13\r\n\r\n"),
        ROW(101, "connection list", START HOST KEY VERSION
            "Connection: keep-alive , Upgrade\r\nUpgrade: websocket\r\n\r\n"),
        ROW(101, "connection in two lines", START HOST KEY VERSION
            "Connection: keep-alive\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n"),
        ROW(101, "upgrade list", START HOST KEY VERSION "Connection: ,,Upgrade\r\nUpgrade: h2c, websocket\r\n\r\n"),
        ROW(101, "a query", "GET /ws?a=/b HTTP/1.1\r\n" HOST UPGRADE KEY VERSION END),
        ROW(101, "absolute target", "GET http://example.com/ws HTTP/1.1\r\n" HOST UPGRADE KEY VERSION END),
        ROW(101, "absolute target with query",
            "GET HTTPS://example.com/ws?x HTTP/1.1\r\n" HOST UPGRADE KEY VERSION END),
        ROW(101, "blanks around values", START "Host:\t example.com \t\r\n" UPGRADE KEY VERSION END),
        ROW(101, "no blank after a colon", START "Host:h\r\n" UPGRADE KEY "Sec-WebSocket-Version:13\r\n\r\n"),
        ROW(101, "bytes above ASCII in a value", GOOD "X-Name: caf\xC3\xA9\r\n\r\n"),
        ROW(101, "an empty value", GOOD "X-Empty:\r\n\r\n"),
        ROW(101, "any origin", GOOD "Origin: https://evil.example\r\n\r\n"),
        ROW(101, "extensions", GOOD "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"),
        ROW(101, "Content-Length 0", GOOD "Content-Length: 0\r\n\r\n"),
        ROW(101, "an unknown subprotocol", GOOD "Sec-WebSocket-Protocol: chat\r\n\r\n"),
        ROW(0, "no end yet", GOOD),
        ROW(0, "half an end", GOOD "\r"),
        ROW(0, "nothing but a method", "GET"),
    };
    CHECK_ROWS(&open_policy, rows);
}

static void handshake__rejects_malformed_requests(void) {
    static const struct row rows[] = {
        ROW(400, "an empty line first", "\r\n" GOOD END),
        ROW(400, "no version", "GET /ws\r\n" HOST UPGRADE KEY VERSION END),
        ROW(400, "two spaces", "GET  /ws HTTP/1.1\r\n" HOST UPGRADE KEY VERSION END),
        ROW(400, "a space too many", "GET /ws HTTP/1.1 \r\n" HOST UPGRADE KEY VERSION END),
        ROW(400, "a leading space", " GET /ws HTTP/1.1\r\n" HOST UPGRADE KEY VERSION END),
        ROW(400, "a tab in the request line", "GET\t/ws HTTP/1.1\r\n" HOST UPGRADE KEY VERSION END),
        ROW(400, "a target above ASCII", "GET /w\xC3\xA9 HTTP/1.1\r\n" HOST UPGRADE KEY VERSION END),
        ROW(400, "a version that is none", "GET /ws HTTQ/1.1\r\n" HOST UPGRADE KEY VERSION END),
        ROW(400, "a version of letters", "GET /ws HTTP/x.y\r\n" HOST UPGRADE KEY VERSION END),
        ROW(400, "a long version", "GET /ws HTTP/1.11\r\n" HOST UPGRADE KEY VERSION END),
        ROW(400, "a method that is no token", "G(T /ws HTTP/1.1\r\n" HOST UPGRADE KEY VERSION END),
        ROW(400, "bare LF after the request line", "GET /ws HTTP/1.1\n" HOST UPGRADE KEY VERSION END),
        ROW(400, "bare LF after a header", START "Host: h\n" UPGRADE KEY VERSION END),
        ROW(400, "bare LF at the end", GOOD "\n"),
        ROW(400, "bare LFs all through", "GET /ws HTTP/1.1\nHost: h\n\n"),
        ROW(400, "bare CR in a value", START "Host: a\rb\r\n" UPGRADE KEY VERSION END),
        ROW(400, "CR CR LF", START "Host: h\r\r\n" UPGRADE KEY VERSION END),
        ROW(400, "NUL in a value", START "Host: a\0b\r\n" UPGRADE KEY VERSION END),
        ROW(400, "NUL in a name", START "Ho\0st: h\r\n" UPGRADE KEY VERSION END),
        ROW(400, "NUL in the target", "GET /\0ws HTTP/1.1\r\n" HOST UPGRADE KEY VERSION END),
        ROW(400, "DEL in a value", START "Host: a\x7F\r\n" UPGRADE KEY VERSION END),
        ROW(400, "a folded line", START HOST "X-A: b\r\n c\r\n" UPGRADE KEY VERSION END),
        ROW(400, "a line folded with a tab", START HOST "X-A: b\r\n\tc: d\r\n" UPGRADE KEY VERSION END),
        ROW(400, "a space before a colon", START "Host : h\r\n" UPGRADE KEY VERSION END),
        ROW(400, "an empty name", START HOST ": x\r\n" UPGRADE KEY VERSION END),
        ROW(400, "no colon", START HOST "colon\r\n" UPGRADE KEY VERSION END),
        ROW(400, "two Hosts", START HOST HOST UPGRADE KEY VERSION END),
        ROW(400, "two Hosts, one empty", START "Host:\r\n" HOST UPGRADE KEY VERSION END),
        ROW(400, "two keys", START HOST UPGRADE KEY KEY VERSION END),
        ROW(400, "two versions", START HOST UPGRADE KEY VERSION VERSION END),
        ROW(400, "two origins", GOOD "Origin: a\r\nOrigin: a\r\n\r\n"),
        ROW(400, "two authorizations", GOOD "Authorization: Bearer a\r\nauthorization: Bearer b\r\n\r\n"),
        ROW(400, "a body", GOOD "Content-Length: 5\r\n\r\nhello"),
        ROW(400, "a length that is none", GOOD "Content-Length: -0\r\n\r\n"),
        ROW(400, "two lengths in one", GOOD "Content-Length: 0, 0\r\n\r\n"),
        ROW(400, "chunks", GOOD "Transfer-Encoding: chunked\r\n\r\n"),
        ROW(400, "length and chunks", GOOD "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ROW(400, "length and identity", GOOD "Content-Length: 5\r\nTransfer-Encoding: identity\r\n\r\n"),
        ROW(400, "TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xFC\x03\x03"),
        ROW(400, "a frame", "\x81\x85\x37\xFA\x21\x3D\x7F\x9F\x4D\x51\x58"),
    };
    CHECK_ROWS(&open_policy, rows);
}

static void handshake__rejects_what_is_no_websocket_request(void) {
    static const struct row rows[] = {
        ROW(405, "POST", "POST /ws HTTP/1.1\r\n" HOST UPGRADE KEY VERSION END),
        ROW(405, "HEAD", "HEAD /ws HTTP/1.1\r\n" HOST UPGRADE KEY VERSION END),
        ROW(405, "get", "get /ws HTTP/1.1\r\n" HOST UPGRADE KEY VERSION END),
        ROW(405, "OPTIONS", "OPTIONS * HTTP/1.1\r\n" HOST END),
        ROW(505, "HTTP/1.0", "GET /ws HTTP/1.0\r\n" HOST UPGRADE KEY VERSION END),
        ROW(505, "HTTP/1.0 without a Host", "GET /ws HTTP/1.0\r\n\r\n"),
        ROW(505, "HTTP/1.2", "GET /ws HTTP/1.2\r\n" HOST UPGRADE KEY VERSION END),
        ROW(505, "HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        ROW(400, "no Host", START UPGRADE KEY VERSION END),
        ROW(400, "an empty Host", START "Host: \r\n" UPGRADE KEY VERSION END),
        ROW(404, "another path", "GET /wsx HTTP/1.1\r\n" HOST UPGRADE KEY VERSION END),
        ROW(404, "a shorter path", "GET /w HTTP/1.1\r\n" HOST UPGRADE KEY VERSION END),
        ROW(404, "a path below", "GET /ws/ HTTP/1.1\r\n" HOST UPGRADE KEY VERSION END),
        ROW(404, "a path in another case", "GET /WS HTTP/1.1\r\n" HOST UPGRADE KEY VERSION END),
        ROW(404, "an encoded path", "GET /%77s HTTP/1.1\r\n" HOST UPGRADE KEY VERSION END),
        ROW(404, "an authority alone", "GET http://example.com HTTP/1.1\r\n" HOST UPGRADE KEY VERSION END),
        ROW(404, "nothing after the scheme", "GET http:// HTTP/1.1\r\n" HOST UPGRADE KEY VERSION END),
        ROW(404, "the path as an authority", "GET ws HTTP/1.1\r\n" HOST UPGRADE KEY VERSION END),
        ROW(426, "no Upgrade", START HOST "Connection: Upgrade\r\n" KEY VERSION END),
        ROW(426, "another Upgrade", START HOST "Upgrade: h2c\r\nConnection: Upgrade\r\n" KEY VERSION END),
        ROW(426, "a longer Upgrade", START HOST "Upgrade: websockets\r\nConnection: Upgrade\r\n" KEY VERSION END),
        ROW(426, "no Connection", START HOST "Upgrade: websocket\r\n" KEY VERSION END),
        ROW(426, "another Connection", START HOST "Upgrade: websocket\r\nConnection: close\r\n" KEY VERSION END),
        ROW(426, "a browser's plain GET", START HOST END),
        ROW(426, "no version", START HOST UPGRADE KEY END),
        ROW(426, "version 8", START HOST UPGRADE KEY "Sec-WebSocket-Version: 8\r\n\r\n"),
        ROW(426, "version 013", START HOST UPGRADE KEY "Sec-WebSocket-Version: 013\r\n\r\n"),
        ROW(426, "versions 8 and 13", START HOST UPGRADE KEY "Sec-WebSocket-Version: 8, 13\r\n\r\n"),
        ROW(400, "no key", START HOST UPGRADE VERSION END),
        ROW(400, "an empty key", START HOST UPGRADE VERSION "Sec-WebSocket-Key:\r\n\r\n"),
        ROW(400, "a key of 15 bytes",
            START HOST UPGRADE VERSION "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAA\r\n\r\n"),
        ROW(400, "a key of 17 bytes",
            START HOST UPGRADE VERSION "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n"),
        ROW(400, "a key of 18 bytes",
            START HOST UPGRADE VERSION "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAAAA\r\n\r\n"),
        ROW(400, "a key not base64",
            START HOST UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j!Q==\r\n\r\n"),
        ROW(400, "a key in base64url",
            START HOST UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j_Q==\r\n\r\n"),
        ROW(400, "a key without padding",
            START HOST UPGRADE VERSION "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ\r\n\r\n"),
    };
    CHECK_ROWS(&open_policy, rows);
}

static void handshake__holds_to_the_policy(void) {
#define PROTOCOL "Sec-WebSocket-Protocol: ringway.v1.json\r\n"
    static const struct row rows[] = {
        ROW(101, "no origin", GOOD PROTOCOL END),
        ROW(101, "an allowed origin", GOOD PROTOCOL "Origin: https://example.com\r\n\r\n"),
        ROW(101, "the other allowed origin", GOOD PROTOCOL "Origin: http://localhost:3000\r\n\r\n"),
        ROW(403, "a foreign origin", GOOD PROTOCOL "Origin: https://evil.example\r\n\r\n"),
        ROW(403, "an origin that goes on", GOOD PROTOCOL "Origin: https://example.com.evil.example\r\n\r\n"),
        ROW(403, "another scheme", GOOD PROTOCOL "Origin: http://example.com\r\n\r\n"),
        ROW(403, "null", GOOD PROTOCOL "Origin: null\r\n\r\n"),
        ROW(403, "an empty origin", GOOD PROTOCOL "Origin:\r\n\r\n"),
        ROW(400, "no subprotocol", GOOD END),
        ROW(400, "unknown subprotocols", GOOD "Sec-WebSocket-Protocol: chat, superchat\r\n\r\n"),
        ROW(400, "a subprotocol in another case", GOOD "Sec-WebSocket-Protocol: Ringway.v1.json\r\n\r\n"),
        ROW(400, "an empty subprotocol", GOOD "Sec-WebSocket-Protocol: ,\r\n\r\n"),
        ROW(101, "one known among many", GOOD "Sec-WebSocket-Protocol: chat,ringway.v1.json ,x\r\n\r\n"),
    };
#undef PROTOCOL
    CHECK_ROWS(&strict_policy, rows);
}

static void handshake__prefers_the_servers_order_of_subprotocols(void) {
    static const struct { const char *headers; int subprotocol; } rows[] = {
        { "", -1 },
        { "Sec-WebSocket-Protocol: chat\r\n", -1 },
        { "Sec-WebSocket-Protocol: ringway.v1.json\r\n", 1 },
        { "Sec-WebSocket-Protocol: ringway.v1.json, ringway.v1.proto\r\n", 0 },
        { "Sec-WebSocket-Protocol: ringway.v1.proto, ringway.v1.json\r\n", 0 },
        { "Sec-WebSocket-Protocol: ringway.v1.json\r\nSec-WebSocket-Protocol: ringway.v1.proto\r\n", 0 },
        { "Sec-WebSocket-Protocol: ringway.v1.proto\r\nSec-WebSocket-Protocol: ringway.v1.json\r\n", 0 },
    };
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        char request[1024];
        const int length = snprintf(request, sizeof request, GOOD "%s\r\n", rows[row].headers);
        struct gw_handshake handshake;
        size_t consumed;
        CHECK_ROW(rows[row].headers, feed(&offering_policy, request, (size_t)length, 2, &handshake, &consumed) == 101);
        CHECK_ROW(rows[row].headers, handshake.subprotocol == rows[row].subprotocol);
    }
}

static bool span_is(struct gw_span span, const char *text) {
    return span.length == strlen(text) && memcmp(span.data, text, span.length) == 0;
}

static void handshake__points_at_what_it_read(void) {
    static const char request[] = "GET /ws?token=no HTTP/1.1\r\n" HOST UPGRADE KEY VERSION
        "Authorization:  Bearer a b \r\nOrigin: https://example.com\r\n\r\n";
    struct gw_handshake handshake;
    size_t consumed;
    CHECK(feed(&open_policy, request, sizeof request - 1, 1, &handshake, &consumed) == 101);
    CHECK(consumed == sizeof request - 1);
    CHECK(span_is(handshake.target, "/ws?token=no"));
    CHECK(span_is(handshake.host, "example.com"));
    CHECK(span_is(handshake.origin, "https://example.com"));
    CHECK(span_is(handshake.key, "dGhlIHNhbXBsZSBub25jZQ=="));
    CHECK(span_is(handshake.authorization, "Bearer a b"));
}

static void handshake__leaves_what_is_pipelined_after_it(void) {
    static const char request[] = GOOD END "\x81\x85\x37\xFA\x21\x3D\x7F\x9F\x4D\x51\x58\r\n\r\n";
    struct gw_handshake handshake;
    size_t consumed;
    CHECK(feed(&open_policy, request, sizeof request - 1, 0, &handshake, &consumed) == 101);
    CHECK(consumed == sizeof GOOD END - 1);
    CHECK(feed(&open_policy, request, sizeof request - 1, 1, &handshake, &consumed) == 101);
    CHECK(consumed == sizeof GOOD END - 1);
}

// A request with count more headers of the given size after the good ones.
static size_t request_with(char *out, size_t count, size_t value_bytes) {
    size_t length = (size_t)sprintf(out, GOOD);
    for (size_t index = 0; index < count; index++) {
        length += (size_t)sprintf(out + length, "X: ");
        memset(out + length, 'v', value_bytes);
        length += value_bytes;
        length += (size_t)sprintf(out + length, "\r\n");
    }
    return length + (size_t)sprintf(out + length, "\r\n");
}

static void handshake__bounds_headers_and_bytes(void) {
    static char request[128 * 1024];
    enum { GOOD_HEADERS = 5, GOOD_BYTES = sizeof GOOD - 1, AROUND_VALUE = 5 };
    size_t length = request_with(request, GW_REQUEST_HEADERS_MAX - GOOD_HEADERS, 1);
    check_status("100 headers", &open_policy, request, length, 101);
    length = request_with(request, GW_REQUEST_HEADERS_MAX - GOOD_HEADERS + 1, 1);
    check_status("101 headers", &open_policy, request, length, 431);
    length = request_with(request, 2000, 1);
    check_status("2,000 headers", &open_policy, request, length, 431);
    length = request_with(request, 1, GW_REQUEST_BYTES_MAX - GOOD_BYTES - AROUND_VALUE - 2);
    CHECK(length == GW_REQUEST_BYTES_MAX);
    check_status("8,192 bytes", &open_policy, request, length, 101);
    length = request_with(request, 1, GW_REQUEST_BYTES_MAX - GOOD_BYTES - AROUND_VALUE - 1);
    check_status("8,193 bytes", &open_policy, request, length, 431);
    length = request_with(request, 1, 64 * 1024);
    check_status("a header of 64 KiB", &open_policy, request, length, 431);
    memset(request, 'A', 64 * 1024);
    check_status("a line without end", &open_policy, request, 64 * 1024, 431);
}

static void handshake__answers_the_rfcs_key(void) {
    static const char request[] = GOOD END;
    struct gw_handshake handshake;
    size_t consumed;
    char out[GW_RESPONSE_BYTES_MAX + 1];
    CHECK(feed(&open_policy, request, sizeof request - 1, 0, &handshake, &consumed) == 101);
    out[gw_handshake_respond(&open_policy, &handshake, out)] = 0;
    CHECK(strcmp(out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                      "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n") == 0);
}

static void handshake__answers_with_the_chosen_subprotocol(void) {
    static const char request[] = GOOD "Sec-WebSocket-Protocol: ringway.v1.json\r\n\r\n";
    struct gw_handshake handshake;
    size_t consumed;
    char out[GW_RESPONSE_BYTES_MAX + 1];
    CHECK(feed(&strict_policy, request, sizeof request - 1, 0, &handshake, &consumed) == 101);
    out[gw_handshake_respond(&strict_policy, &handshake, out)] = 0;
    CHECK(strstr(out, "\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
                      "Sec-WebSocket-Protocol: ringway.v1.json\r\n\r\n") != NULL);
}

static void handshake__answers_every_refusal(void) {
    static const struct { int status; const char *line, *header; } rows[] = {
        { 400, "HTTP/1.1 400 Bad Request\r\n", "" },
        { 403, "HTTP/1.1 403 Forbidden\r\n", "" },
        { 404, "HTTP/1.1 404 Not Found\r\n", "" },
        { 405, "HTTP/1.1 405 Method Not Allowed\r\n", "\r\nAllow: GET\r\n" },
        { 426, "HTTP/1.1 426 Upgrade Required\r\n", "\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" },
        { 431, "HTTP/1.1 431 Request Header Fields Too Large\r\n", "" },
        { 505, "HTTP/1.1 505 HTTP Version Not Supported\r\n", "" },
    };
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        const struct gw_handshake handshake = { .status = rows[row].status, .subprotocol = -1 };
        char out[GW_RESPONSE_BYTES_MAX + 1], length[64];
        const size_t bytes = gw_handshake_respond(&open_policy, &handshake, out);
        CHECK(bytes < GW_RESPONSE_BYTES_MAX);
        out[bytes] = 0;
        const char *body = strstr(out, "\r\n\r\n");
        CHECK(strncmp(out, rows[row].line, strlen(rows[row].line)) == 0);
        CHECK(strstr(out, rows[row].header) != NULL && body != NULL);
        snprintf(length, sizeof length, "\r\nContent-Length: %zu\r\n", strlen(body + 4));
        CHECK(strstr(out, length) != NULL && strstr(out, "close\r\n") != NULL);
    }
}

// FIPS 180-4's examples, and the lengths around the end of a block.
static void sha1__agrees_with_known_digests(void) {
    static const struct { const char *message; size_t length; const char *digest; } rows[] = {
        { "", 0, "da39a3ee5e6b4b0d3255bfef95601890afd80709" },
        { "abc", 3, "a9993e364706816aba3e25717850c26c9cd0d89d" },
        { "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, "84983e441c3bd26ebaae4aa1f95129e5e54670f1" },
        { NULL, 55, "c1c8bbdc22796e28c0e15163d20899b65621d65a" },
        { NULL, 56, "c2db330f6083854c99d4b5bfb6e8f29f201be699" },
        { NULL, 64, "0098ba824b5c16427bd7a1122a5a442a25ec644d" },
        { NULL, 119, "ee971065aaa017e0632a8ca6c77bb3bf8b1dfc56" },
    };
    for (size_t row = 0; row < sizeof rows / sizeof rows[0]; row++) {
        char letters[GW_SHA1_MESSAGE_BYTES_MAX], hex[2 * GW_SHA1_BYTES + 1];
        uint8_t digest[GW_SHA1_BYTES];
        memset(letters, 'a', sizeof letters);
        gw_sha1((const uint8_t *)(rows[row].message != NULL ? rows[row].message : letters), rows[row].length, digest);
        for (size_t index = 0; index < GW_SHA1_BYTES; index++) {
            sprintf(hex + 2 * index, "%02x", digest[index]);
        }
        CHECK_ROW(rows[row].digest, strcmp(hex, rows[row].digest) == 0);
    }
}

int main(void) {
    RUN(handshake__accepts_what_the_rfc_allows);
    RUN(handshake__rejects_malformed_requests);
    RUN(handshake__rejects_what_is_no_websocket_request);
    RUN(handshake__holds_to_the_policy);
    RUN(handshake__prefers_the_servers_order_of_subprotocols);
    RUN(handshake__points_at_what_it_read);
    RUN(handshake__leaves_what_is_pipelined_after_it);
    RUN(handshake__bounds_headers_and_bytes);
    RUN(handshake__answers_the_rfcs_key);
    RUN(handshake__answers_with_the_chosen_subprotocol);
    RUN(handshake__answers_every_refusal);
    RUN(sha1__agrees_with_known_digests);
    return 0;
}
