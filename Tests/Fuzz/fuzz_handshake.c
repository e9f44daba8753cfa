// The opening handshake: whatever arrives, in whatever pieces, the answer is the one to the whole request; what a
// request points to lies in it; and every answer is a response that fits its buffer.
#include "fuzz.h"
#include "gw_handshake.h"

static const char *const subprotocols[] = { "ringway.v1", "chat", NULL };
static const char *const origins[] = { "https://example.com", "null", NULL };
static const struct gw_handshake_policy policies[] = {
    { .path = "/ws" },
    { .path = "/ws", .subprotocols = subprotocols },
    { .path = "/ws", .subprotocols = subprotocols, .origins = origins, .subprotocol_required = 1 },
};

struct answer {
    enum gw_parse parse;
    size_t consumed;
    struct gw_handshake handshake;
};

static void expect_inside(struct gw_span span, const uint8_t *data, size_t length) {
    if (span.length > 0) {
        const uint8_t *start = (const uint8_t *)span.data;
        EXPECT(start >= data && span.length <= length && start - data <= (ptrdiff_t)(length - span.length));
    }
}

static void expect_response(const struct gw_handshake_policy *policy, const struct gw_handshake *handshake) {
    char *out = malloc(GW_RESPONSE_BYTES_MAX), status_line[16];
    EXPECT(out != NULL);
    const size_t bytes = gw_handshake_respond(policy, handshake, out);
    const int start = snprintf(status_line, sizeof status_line, "HTTP/1.1 %d ", handshake->status);
    EXPECT(bytes > 4 && bytes <= GW_RESPONSE_BYTES_MAX && memcmp(out, status_line, (size_t)start) == 0);
    free(out);
}

// Parses the first `length` bytes from memory that ends with them, and holds the answer to what it says of itself.
static struct answer parse(const struct gw_handshake_policy *policy, const uint8_t *data, size_t length) {
    struct answer answer;
    memset(&answer, 0xEE, sizeof answer);
    uint8_t *copy = fuzz_copy(data, length);
    answer.parse = gw_handshake_parse(policy, copy, length, &answer.handshake, &answer.consumed);
    switch (answer.parse) {
    case GW_PARSE_MORE:
        EXPECT(length < GW_REQUEST_BYTES_MAX);
        break;
    case GW_PARSE_DONE:
        EXPECT(answer.handshake.status == 101 && answer.consumed <= length);
        EXPECT(answer.handshake.key.length == 24 && answer.handshake.subprotocol >= -1);
        expect_inside(answer.handshake.target, copy, answer.consumed);
        expect_inside(answer.handshake.host, copy, answer.consumed);
        expect_inside(answer.handshake.origin, copy, answer.consumed);
        expect_inside(answer.handshake.key, copy, answer.consumed);
        expect_inside(answer.handshake.authorization, copy, answer.consumed);
        expect_response(policy, &answer.handshake);
        break;
    case GW_PARSE_ERROR:
        EXPECT(answer.handshake.status >= 400 && answer.handshake.status <= 505);
        expect_response(policy, &answer.handshake);
        break;
    }
    free(copy);
    return answer;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length) {
    if (length == 0) {
        return 0;
    }
    const struct gw_handshake_policy *policy = &policies[data[0] / 16 % 3];
    struct fuzz_splits splits = fuzz_take_splits(&data, &length);
    const struct answer whole = parse(policy, data, length);

    struct answer grown = { .parse = GW_PARSE_MORE };
    for (size_t at = 0; at < length && grown.parse == GW_PARSE_MORE;) {
        at += fuzz_next_split(&splits, length - at);
        grown = parse(policy, data, at);
    }
    EXPECT(grown.parse == whole.parse);
    if (whole.parse == GW_PARSE_DONE) {
        EXPECT(grown.consumed == whole.consumed && grown.handshake.subprotocol == whole.handshake.subprotocol);
        EXPECT(parse(policy, data, whole.consumed).parse == GW_PARSE_DONE);
        EXPECT(parse(policy, data, whole.consumed - 1).parse == GW_PARSE_MORE);
    } else if (whole.parse == GW_PARSE_ERROR) {
        EXPECT(grown.handshake.status == whole.handshake.status);
    }
    return 0;
}
