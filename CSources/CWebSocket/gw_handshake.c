// Reads and judges the request of an opening handshake; the answer is written by gw_handshake_respond.c.
//
// Lines are looked at one by one as far as they have arrived. A line only records what it says; the rules that
// need the whole request are in judge, in the order the header gives.
//
// Pure: owns nothing, any thread.
#include "gw_handshake.h"

#include <stdbool.h>
#include <string.h>
#include <strings.h>

#include "gw_deflate.h"
#include "gw_token.h"

// What the headers have said so far, beyond what the caller gets.
struct request {
    const struct gw_handshake_policy *policy;
    struct gw_handshake *handshake;
    struct gw_span method, http, version;
    uint32_t headers;
    bool upgrade_websocket, connection_upgrade;
};

static bool span_equals(struct gw_span span, const char *text) {
    return span.length == strlen(text) && memcmp(span.data, text, span.length) == 0;
}

static bool span_equals_nocase(struct gw_span span, const char *text) {
    return span.length == strlen(text) && strncasecmp(span.data, text, span.length) == 0;
}

static struct gw_span span_between(const char *start, const char *end) {
    return (struct gw_span){ .data = start, .length = (uint32_t)(end - start) };
}

static bool is_blank(char byte) { return byte == ' ' || byte == '\t'; }

static struct gw_span span_trim(struct gw_span span) {
    while (span.length > 0 && is_blank(span.data[0])) {
        span.data++;
        span.length--;
    }
    while (span.length > 0 && is_blank(span.data[span.length - 1])) {
        span.length--;
    }
    return span;
}

static bool is_token(struct gw_span span) {
    for (uint32_t index = 0; index < span.length; index++) {
        if (!gw_is_token_byte((uint8_t)span.data[index])) {
            return false;
        }
    }
    return span.length > 0;
}

static bool has_control_byte(struct gw_span span) {
    for (uint32_t index = 0; index < span.length; index++) {
        const uint8_t byte = (uint8_t)span.data[index];
        if ((byte < ' ' && byte != '\t') || byte == 0x7F) {
            return true;
        }
    }
    return false;
}

// Takes the next non-empty element off a comma-separated list (RFC 9110 section 5.6.1).
static bool list_next(struct gw_span *list, struct gw_span *element) {
    while (list->length > 0) {
        const char *comma = memchr(list->data, ',', list->length);
        const char *end = comma != NULL ? comma : list->data + list->length;
        *element = span_trim(span_between(list->data, end));
        list->length -= (uint32_t)(end - list->data) + (comma != NULL);
        list->data = end + (comma != NULL);
        if (element->length > 0) {
            return true;
        }
    }
    return false;
}

// Each line_... function takes one header's value and returns 0, or the status that refuses the request at once.

static int take_once(struct gw_span *field, struct gw_span value) {
    if (field->data != NULL) {
        return 400;
    }
    *field = value;
    return 0;
}

static int line_host(struct request *request, struct gw_span value) {
    return take_once(&request->handshake->host, value);
}

static int line_origin(struct request *request, struct gw_span value) {
    return take_once(&request->handshake->origin, value);
}

static int line_authorization(struct request *request, struct gw_span value) {
    return take_once(&request->handshake->authorization, value);
}

static int line_key(struct request *request, struct gw_span value) {
    return take_once(&request->handshake->key, value);
}

static int line_version(struct request *request, struct gw_span value) {
    return take_once(&request->version, value);
}

static int line_upgrade(struct request *request, struct gw_span value) {
    struct gw_span element;
    while (list_next(&value, &element)) {
        request->upgrade_websocket |= span_equals_nocase(element, "websocket");
    }
    return 0;
}

static int line_connection(struct request *request, struct gw_span value) {
    struct gw_span element;
    while (list_next(&value, &element)) {
        request->connection_upgrade |= span_equals_nocase(element, "upgrade");
    }
    return 0;
}

// The policy's order of preference decides, not the client's.
static int line_protocol(struct request *request, struct gw_span value) {
    const char *const *offered = request->policy->subprotocols;
    int *chosen = &request->handshake->subprotocol;
    struct gw_span element;
    while (offered != NULL && list_next(&value, &element)) {
        for (int index = 0; offered[index] != NULL && (*chosen < 0 || index < *chosen); index++) {
            if (span_equals(element, offered[index])) {
                *chosen = index;
            }
        }
    }
    return 0;
}

// Several headers are one list; the first offer that can be accepted is.
static int line_extensions(struct request *request, struct gw_span value) {
    const uint8_t bits = request->policy->deflate_bits;
    struct gw_deflate_terms terms = { .agreed = 0 };
    if (gw_deflate_negotiate(value, bits, &terms) == GW_DEFLATE_MALFORMED) {
        return 400;
    }
    if (bits != 0 && !request->handshake->deflate.agreed) {
        request->handshake->deflate = terms;
    }
    return 0;
}

static int line_content_length(struct request *request, struct gw_span value) {
    (void)request;
    return span_equals(value, "0") ? 0 : 400;
}

static int line_transfer_encoding(struct request *request, struct gw_span value) {
    (void)request;
    (void)value;
    return 400;
}

static const struct {
    const char *name;
    int (*take)(struct request *request, struct gw_span value);
} lines[] = {
    { "Host", line_host },
    { "Upgrade", line_upgrade },
    { "Connection", line_connection },
    { "Origin", line_origin },
    { "Authorization", line_authorization },
    { "Sec-WebSocket-Key", line_key },
    { "Sec-WebSocket-Version", line_version },
    { "Sec-WebSocket-Protocol", line_protocol },
    { "Sec-WebSocket-Extensions", line_extensions },
    { "Content-Length", line_content_length },
    { "Transfer-Encoding", line_transfer_encoding },
};

static int take_header_line(struct request *request, struct gw_span line) {
    if (++request->headers > GW_REQUEST_HEADERS_MAX) {
        return 431;
    }
    // A folded line starts with a blank, so it has no token before its colon either.
    const char *colon = memchr(line.data, ':', line.length);
    if (colon == NULL) {
        return 400;
    }
    const struct gw_span name = span_between(line.data, colon);
    if (!is_token(name)) {
        return 400;
    }
    const struct gw_span value = span_trim(span_between(colon + 1, line.data + line.length));
    for (size_t index = 0; index < sizeof lines / sizeof lines[0]; index++) {
        if (span_equals_nocase(name, lines[index].name)) {
            return lines[index].take(request, value);
        }
    }
    return 0;
}

static bool is_http_version(struct gw_span http) {
    return http.length == 8 && memcmp(http.data, "HTTP/", 5) == 0 && http.data[5] >= '0' && http.data[5] <= '9' &&
           http.data[6] == '.' && http.data[7] >= '0' && http.data[7] <= '9';
}

// method SP target SP version, RFC 9112 section 3.
static int take_request_line(struct request *request, struct gw_span line) {
    const char *end = line.data + line.length;
    const char *first = memchr(line.data, ' ', line.length);
    const char *second = first == NULL ? NULL : memchr(first + 1, ' ', (size_t)(end - first - 1));
    if (second == NULL) {
        return 400;
    }
    request->method = span_between(line.data, first);
    request->handshake->target = span_between(first + 1, second);
    request->http = span_between(second + 1, end);
    const struct gw_span target = request->handshake->target;
    for (uint32_t index = 0; index < target.length; index++) {
        if ((uint8_t)target.data[index] <= ' ' || (uint8_t)target.data[index] >= 0x7F) {
            return 400;
        }
    }
    return is_token(request->method) && target.length > 0 && is_http_version(request->http) ? 0 : 400;
}

// The path of an origin-form or absolute-form target (RFC 9112 section 3.2), without its query.
static struct gw_span target_path(struct gw_span target) {
    const char *end = target.data + target.length;
    const char *start = target.data;
    if (target.length >= 7 && strncasecmp(start, "http://", 7) == 0) {
        start += 7;
    } else if (target.length >= 8 && strncasecmp(start, "https://", 8) == 0) {
        start += 8;
    }
    if (start != target.data) {
        start = memchr(start, '/', (size_t)(end - start));
        if (start == NULL) {
            return (struct gw_span){ .data = "/", .length = 1 };
        }
    }
    const char *query = memchr(start, '?', (size_t)(end - start));
    return span_between(start, query != NULL ? query : end);
}

// 22 digits and two of padding are 16 bytes.
static bool is_key(struct gw_span key) {
    if (key.length != 24 || key.data[22] != '=' || key.data[23] != '=') {
        return false;
    }
    for (unsigned index = 0; index < 22; index++) {
        const char byte = key.data[index];
        if (!((byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
              byte == '+' || byte == '/')) {
            return false;
        }
    }
    return true;
}

static bool is_origin_allowed(const struct gw_handshake_policy *policy, struct gw_span origin) {
    if (policy->origins == NULL || origin.data == NULL) {
        return true;
    }
    for (const char *const *allowed = policy->origins; *allowed != NULL; allowed++) {
        if (span_equals(origin, *allowed)) {
            return true;
        }
    }
    return false;
}

// The status of a whole, well-formed request.
static int judge(const struct request *request) {
    const struct gw_handshake_policy *policy = request->policy;
    const struct gw_handshake *handshake = request->handshake;
    if (!span_equals(request->http, "HTTP/1.1")) {
        return 505;
    }
    if (!span_equals(request->method, "GET")) {
        return 405;
    }
    if (handshake->host.length == 0) {
        return 400;
    }
    if (!span_equals(target_path(handshake->target), policy->path)) {
        return 404;
    }
    if (!request->upgrade_websocket || !request->connection_upgrade || !span_equals(request->version, "13")) {
        return 426;
    }
    if (!is_key(handshake->key)) {
        return 400;
    }
    if (!is_origin_allowed(policy, handshake->origin)) {
        return 403;
    }
    return policy->subprotocol_required && handshake->subprotocol < 0 ? 400 : 101;
}

// Reads line by line. Returns 0 while the request goes on, else its status; *used is then its length.
static int read_request(struct request *request, const char *data, size_t length, size_t *used) {
    const char *at = data;
    const char *end = data + length;
    for (bool is_first = true;; is_first = false) {
        const char *feed = memchr(at, '\n', (size_t)(end - at));
        struct gw_span line = span_between(at, feed != NULL ? feed : end);
        // A CR may end what has arrived, as the first half of the line's end.
        const bool returned = line.length > 0 && line.data[line.length - 1] == '\r';
        line.length -= returned;
        if (has_control_byte(line) || (feed != NULL && !returned)) {
            return 400;
        }
        if (feed == NULL) {
            return 0;
        }
        at = feed + 1;
        if (line.length == 0 && !is_first) {
            *used = (size_t)(at - data);
            return judge(request);
        }
        const int status = is_first ? take_request_line(request, line) : take_header_line(request, line);
        if (status != 0) {
            return status;
        }
    }
}

enum gw_parse gw_handshake_parse(const struct gw_handshake_policy *policy, const uint8_t *data, size_t length,
                                 struct gw_handshake *handshake, size_t *consumed) {
    *handshake = (struct gw_handshake){ .subprotocol = -1 };
    *consumed = 0;
    struct request request = { .policy = policy, .handshake = handshake };
    const size_t bytes = length < GW_REQUEST_BYTES_MAX ? length : GW_REQUEST_BYTES_MAX;
    handshake->status = read_request(&request, (const char *)data, bytes, consumed);
    if (handshake->status == 0 && bytes < GW_REQUEST_BYTES_MAX) {
        return GW_PARSE_MORE;
    }
    if (handshake->status == 0) {
        handshake->status = 431;
    }
    return handshake->status == 101 ? GW_PARSE_DONE : GW_PARSE_ERROR;
}
