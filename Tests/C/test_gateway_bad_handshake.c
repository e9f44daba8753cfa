// Requests that every server of this kind has got wrong at some time, over real sockets, and the answer each must get.
// docs/bad-input.md has the same list for readers. Every refusal is a whole response followed by the end of the stream,
// no caller hears of it, and nothing of it is left in memory.
#include "gateway_client.h"

enum { REFUSED_HEAD_BYTES = 1024 };

static const char *const origins[] = { "https://app.example", NULL };

static void open_server(struct world *w) {
    struct gw_config config = config_usual(16);
    config.origins = origins;
    world_open(w, &config);
}

// The answer to a request that is to be refused; head holds its status line and headers.
static int refusal_of(const void *request, size_t length, char head[REFUSED_HEAD_BYTES]) {
    struct world w;
    open_server(&w);
    const int fd = client_connect(&w);
    client_send(&w, fd, request, length);
    const int status = client_read_response(&w, fd, head, REFUSED_HEAD_BYTES);
    CHECK(strstr(head, "close\r\n") != NULL);
    CHECK(client_is_ended(&w, fd, WORLD_PATIENCE_MS));
    close(fd);
    world_expect_empty(&w);
    CHECK(world_stats(&w).handshakes_failed == 1 && w.seen_count == 0);
    world_close(&w);
    return status;
}

static int status_of(const char *request) {
    char head[REFUSED_HEAD_BYTES];
    return refusal_of(request, strlen(request), head);
}

#define START "GET /ws HTTP/1.1\r\n"
#define HOST "Host: localhost\r\n"
#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define UPGRADE "Upgrade: websocket\r\nConnection: Upgrade\r\n"
#define VERSION "Sec-WebSocket-Version: 13\r\n"

static void wrong_method__is_405_and_told_the_right_one(void) {
    char head[REFUSED_HEAD_BYTES];
    const char request[] = "POST /ws HTTP/1.1\r\n" UPGRADE_LINES "\r\n";
    CHECK(refusal_of(request, sizeof request - 1, head) == 405);
    CHECK(strstr(head, "\r\nAllow: GET\r\n") != NULL);
}

static void wrong_version__is_426_and_told_the_right_one(void) {
    char head[REFUSED_HEAD_BYTES];
    const char request[] = START HOST UPGRADE KEY "Sec-WebSocket-Version: 8\r\n\r\n";
    CHECK(refusal_of(request, sizeof request - 1, head) == 426);
    CHECK(strstr(head, "\r\nSec-WebSocket-Version: 13\r\n") != NULL);
    CHECK(status_of(START HOST UPGRADE KEY "\r\n") == 426);
}

static void http_1_0__is_505(void) { CHECK(status_of("GET /ws HTTP/1.0\r\n" UPGRADE_LINES "\r\n") == 505); }

static void missing_host__is_400(void) { CHECK(status_of(START UPGRADE KEY VERSION "\r\n") == 400); }

static void doubled_host__is_400(void) {
    CHECK(status_of(START HOST "Host: elsewhere\r\n" UPGRADE KEY VERSION "\r\n") == 400);
    CHECK(status_of(START HOST HOST UPGRADE KEY VERSION "\r\n") == 400);
}

static void missing_key__is_400(void) { CHECK(status_of(START HOST UPGRADE VERSION "\r\n") == 400); }

static void doubled_key__is_400(void) { CHECK(status_of(START HOST UPGRADE KEY KEY VERSION "\r\n") == 400); }

static void headers_by_the_thousand__are_431(void) {
    enum { HEADERS = 2000 };
    char *request = malloc(HEADERS * 8 + 64), head[REFUSED_HEAD_BYTES];
    size_t length = (size_t)sprintf(request, START);
    for (int i = 0; i < HEADERS; i++) {
        length += (size_t)sprintf(request + length, "X:%d\r\n", i % 10);
    }
    length += (size_t)sprintf(request + length, "\r\n");
    CHECK(refusal_of(request, length, head) == 431);
    free(request);
}

static void header_of_64_kib__is_431(void) {
    enum { BYTES = 65536 };
    char *request = malloc(BYTES), head[REFUSED_HEAD_BYTES];
    memset(request, 'x', BYTES);
    memcpy(request, START "X-Long: ", sizeof START "X-Long: " - 1);
    CHECK(refusal_of(request, BYTES, head) == 431);
    free(request);
}

static void folded_line__is_400(void) {
    CHECK(status_of(START HOST "X-Folded: one\r\n two\r\n" UPGRADE KEY VERSION "\r\n") == 400);
    CHECK(status_of(START HOST "X-Folded: one\r\n\ttwo: 2\r\n" UPGRADE KEY VERSION "\r\n") == 400);
}

static void bare_line_feed__is_400(void) {
    CHECK(status_of("GET /ws HTTP/1.1\n" UPGRADE_LINES "\r\n") == 400);
    CHECK(status_of(START "Host: localhost\n" UPGRADE KEY VERSION "\r\n") == 400);
}

static void content_length_with_transfer_encoding__is_400(void) {
    CHECK(status_of(START UPGRADE_LINES "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n") == 400);
    CHECK(status_of(START UPGRADE_LINES "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n") == 400);
}

static void foreign_origin__is_403(void) {
    CHECK(status_of(START UPGRADE_LINES "Origin: https://evil.example\r\n\r\n") == 403);
    CHECK(status_of(START UPGRADE_LINES "Origin: https://app.example.evil.example\r\n\r\n") == 403);
    CHECK(status_of(START UPGRADE_LINES "Origin: null\r\n\r\n") == 403);
}

// RFC 6455 section 4.1 wants a client to wait for the answer. One that does not is served as if it had: nothing that
// it sent is lost, taken for a header, or answered before the 101.
static void data_before_the_answer__is_read_after_it(void) {
    struct world w;
    char head[REFUSED_HEAD_BYTES];
    uint8_t bytes[512], payload[125];
    open_server(&w);
    w.echo = 1;
    const int fd = client_connect(&w);
    size_t length = sizeof UPGRADE_REQUEST - 1;
    memcpy(bytes, UPGRADE_REQUEST, length);
    length += frame_write(bytes + length, 0x81, "one", 3);
    length += frame_write(bytes + length, 0x82, "two", 3);
    client_send(&w, fd, bytes, length);
    CHECK(client_read_response(&w, fd, head, sizeof head) == 101);
    struct frame frame = client_read_frame(&w, fd, payload, sizeof payload);
    CHECK(frame.first == 0x81 && frame.length == 3 && memcmp(payload, "one", 3) == 0);
    frame = client_read_frame(&w, fd, payload, sizeof payload);
    CHECK(frame.first == 0x82 && frame.length == 3 && memcmp(payload, "two", 3) == 0);
    close(fd);
    world_close(&w);
}

// A second request behind the first is no frame.
static void request_behind_the_request__is_closed_with_1002(void) {
    struct world w;
    char head[REFUSED_HEAD_BYTES];
    open_server(&w);
    const int fd = client_connect(&w);
    client_send(&w, fd, UPGRADE_REQUEST UPGRADE_REQUEST, 2 * (sizeof UPGRADE_REQUEST - 1));
    CHECK(client_read_response(&w, fd, head, sizeof head) == 101);
    CHECK(client_read_close(&w, fd) == 1002);
    CHECK(world_await(&w, GW_EVENT_CLOSED, 0)->code == 1002);
    close(fd);
    world_close(&w);
}

int main(void) {
    RUN(wrong_method__is_405_and_told_the_right_one);
    RUN(wrong_version__is_426_and_told_the_right_one);
    RUN(http_1_0__is_505);
    RUN(missing_host__is_400);
    RUN(doubled_host__is_400);
    RUN(missing_key__is_400);
    RUN(doubled_key__is_400);
    RUN(headers_by_the_thousand__are_431);
    RUN(header_of_64_kib__is_431);
    RUN(folded_line__is_400);
    RUN(bare_line_feed__is_400);
    RUN(content_length_with_transfer_encoding__is_400);
    RUN(foreign_origin__is_403);
    RUN(data_before_the_answer__is_read_after_it);
    RUN(request_behind_the_request__is_closed_with_1002);
    return 0;
}
