// From a TCP connection to an open WebSocket, and every way to be refused on the way.
#include "gateway_client.h"

static int upgrade_status(struct world *w, const char *request) {
    char head[2048];
    const int fd = client_connect(w);
    client_send(w, fd, request, strlen(request));
    const int status = client_read_response(w, fd, head, sizeof head);
    CHECK(status == 101 || client_is_ended(w, fd, WORLD_PATIENCE_MS));
    close(fd);
    return status;
}

static void handshake__opens_and_tells_the_authorization(void) {
    const struct gw_config config = config_usual(64);
    struct world w;
    world_open(&w, &config);
    const int fd = client_connect(&w);
    const char request[] = "GET /ws?x=1 HTTP/1.1\r\n" UPGRADE_LINES "Authorization: Bearer abc.def\r\n\r\n";
    char head[1024];
    client_send(&w, fd, request, sizeof request - 1);
    CHECK(client_read_response(&w, fd, head, sizeof head) == 101);
    const struct seen *opened = world_await(&w, GW_EVENT_OPENED, 0);
    CHECK(opened->conn != 0 && opened->subprotocol == GW_NO_SUBPROTOCOL);
    CHECK(opened->length == 14 && memcmp(opened->data, "Bearer abc.def", 14) == 0);
    close(fd);
    CHECK(world_await(&w, GW_EVENT_CLOSED, 0)->code == 1006);
    world_close(&w);
}

static void handshake__agrees_on_the_preferred_subprotocol(void) {
    struct gw_config config = config_usual(64);
    const char *const offered[] = { "first", "second", NULL };
    config.subprotocols = offered;
    config.subprotocol_required = 1;
    struct world w;
    world_open(&w, &config);
    CHECK(upgrade_status(&w, "GET /ws HTTP/1.1\r\n" UPGRADE_LINES
                             "Sec-WebSocket-Protocol: other, second\r\n\r\n") == 101);
    CHECK(world_await(&w, GW_EVENT_OPENED, 0)->subprotocol == 1);
    CHECK(upgrade_status(&w, "GET /ws HTTP/1.1\r\n" UPGRADE_LINES
                             "Sec-WebSocket-Protocol: second, first\r\n\r\n") == 101);
    CHECK(world_await(&w, GW_EVENT_OPENED, 1)->subprotocol == 0);
    CHECK(upgrade_status(&w, UPGRADE_REQUEST) == 400);
    world_close(&w);
}

static void handshake__is_refused_with_its_status(void) {
    struct gw_config config = config_usual(64);
    const char *const origins[] = { "https://app.example", NULL };
    config.origins = origins;
    struct world w;
    world_open(&w, &config);
    char *large = malloc(20000);
    memset(large, 'a', 20000);
    memcpy(large, "GET /ws HTTP/1.1\r\nX: ", 21);
    large[19999] = 0;
    const struct { const char *request; int status; } cases[] = {
        { "nonsense\r\n\r\n", 400 },
        { "GET /ws HTTP/1.1\r\nUpgrade: websocket\r\n\r\n", 400 },
        { "GET /ws HTTP/1.1\r\n" UPGRADE_LINES "Origin: https://evil.example\r\n\r\n", 403 },
        { "GET /other HTTP/1.1\r\n" UPGRADE_LINES "\r\n", 404 },
        { "POST /ws HTTP/1.1\r\n" UPGRADE_LINES "\r\n", 405 },
        { "GET /ws HTTP/1.1\r\nHost: localhost\r\n\r\n", 426 },
        { large, 431 },
        { "GET /ws HTTP/1.0\r\n" UPGRADE_LINES "\r\n", 505 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const int status = upgrade_status(&w, cases[i].request);
        if (status != cases[i].status) {
            fprintf(stderr, "%.40s: %d\n", cases[i].request, status);
        }
        CHECK(status == cases[i].status);
    }
    CHECK(upgrade_status(&w, "GET /ws HTTP/1.1\r\n" UPGRADE_LINES "Origin: https://app.example\r\n\r\n") == 101);
    CHECK(world_await(&w, GW_EVENT_OPENED, 0) != NULL && w.seen_count == 1);   // nobody hears of the refused
    world_turn_for(&w, 50);
    const struct gw_stats stats = world_stats(&w);
    CHECK(stats.handshakes_failed == sizeof cases / sizeof *cases);
    CHECK(stats.pool_bytes == 0);
    free(large);
    world_close(&w);
}

static void handshake__takes_a_request_byte_by_byte_with_a_frame_behind(void) {
    const struct gw_config config = config_usual(64);
    struct world w;
    uint8_t bytes[512], payload[125];
    world_open(&w, &config);
    w.echo = 1;
    const int fd = client_connect(&w);
    memcpy(bytes, UPGRADE_REQUEST, sizeof UPGRADE_REQUEST - 1);
    size_t length = sizeof UPGRADE_REQUEST - 1;
    for (size_t i = 0; i < length - 5; i++) {
        client_send(&w, fd, bytes + i, 1);
        world_turn(&w, 1);
    }
    length += frame_write(bytes + length, 0x81, "hi", 2);
    client_send(&w, fd, bytes + sizeof UPGRADE_REQUEST - 6, length - (sizeof UPGRADE_REQUEST - 6));
    char head[1024];
    CHECK(client_read_response(&w, fd, head, sizeof head) == 101);
    const struct frame frame = client_read_frame(&w, fd, payload, sizeof payload);
    CHECK(frame.first == 0x81 && frame.length == 2 && memcmp(payload, "hi", 2) == 0);
    close(fd);
    CHECK(world_await(&w, GW_EVENT_CLOSED, 0) != NULL);
    world_turn(&w, 1);
    CHECK(world_stats(&w).pool_bytes == 0);
    world_close(&w);
}

// A long request in pieces crosses every size of the buffer that gathers it, up to exactly the bound and over it.
static void handshake__gathers_up_to_its_bound(void) {
    const struct gw_config config = config_usual(64);
    struct world w;
    world_open(&w, &config);
    for (size_t size = 8191; size <= 8193; size++) {
        char *request = malloc(size + 1), head[1024];
        const size_t start = (size_t)sprintf(request, "GET /ws HTTP/1.1\r\n" UPGRADE_LINES "X-Long: ");
        memset(request + start, 'x', size - start - 4);
        memcpy(request + size - 4, "\r\n\r\n", 4);
        const int fd = client_connect(&w);
        for (size_t at = 0; at < size; at += 700) {
            client_send(&w, fd, request + at, size - at < 700 ? size - at : 700);
            world_turn(&w, 1);
            world_turn(&w, 1);
        }
        CHECK(client_read_response(&w, fd, head, sizeof head) == (size <= 8192 ? 101 : 431));
        close(fd);
        free(request);
    }
    world_turn_for(&w, 50);
    CHECK(world_stats(&w).pool_bytes == 0);
    world_close(&w);
}

static void handshake__ends_a_slow_request_at_its_deadline(void) {
    struct gw_config config = config_usual(64);
    config.handshake_ms = 100;
    struct world w;
    world_open(&w, &config);
    const uint64_t begin = world_now_ms();
    const int silent = client_connect(&w), dripping = client_connect(&w);
    char byte;
    while (world_stats(&w).closed < 2) {
        (void)!send(dripping, "G", 1, MSG_NOSIGNAL | MSG_DONTWAIT);
        world_turn(&w, 5);
        CHECK(world_now_ms() - begin < WORLD_PATIENCE_MS);
    }
    CHECK(world_now_ms() - begin >= 95);
    CHECK(client_receive_some(&w, silent, &byte, 1, 1000) == 0);
    CHECK(world_stats(&w).handshakes_failed == 2 && w.seen_count == 0 && world_stats(&w).pool_bytes == 0);
    close(silent);
    close(dripping);
    world_close(&w);
}

static void handshake__forgets_a_client_that_leaves_in_the_middle(void) {
    const struct gw_config config = config_usual(64);
    struct world w;
    world_open(&w, &config);
    const int fd = client_connect(&w);
    client_send(&w, fd, UPGRADE_REQUEST, 40);
    world_turn_for(&w, 20);
    CHECK(world_stats(&w).pool_bytes > 0);
    close(fd);
    world_turn_for(&w, 20);
    CHECK(world_stats(&w).pool_bytes == 0 && world_stats(&w).connections == 0 && w.seen_count == 0);
    world_close(&w);
}

int main(void) {
    RUN(handshake__opens_and_tells_the_authorization);
    RUN(handshake__agrees_on_the_preferred_subprotocol);
    RUN(handshake__is_refused_with_its_status);
    RUN(handshake__takes_a_request_byte_by_byte_with_a_frame_behind);
    RUN(handshake__gathers_up_to_its_bound);
    RUN(handshake__ends_a_slow_request_at_its_deadline);
    RUN(handshake__forgets_a_client_that_leaves_in_the_middle);
    return 0;
}
