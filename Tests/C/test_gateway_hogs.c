// Messages that are begun and never ended: what they may hold in sum and by address, who gives way, and that everyone
// else is served meanwhile. Compressed ones: test_gateway_deflate.c.
#include "gateway_client.h"

enum { KIB = 1024, HOGS = 100, MESSAGE = 64 * KIB, HOG_HOLDS = 128 * KIB, POOL = 8192 * KIB };

static struct gw_config config_small(uint32_t strangers) {
    struct gw_config config = config_usual(2 * HOGS);
    config.message_bytes_max = MESSAGE;
    config.pool_bytes_max = POOL;
    config.untrusted_per_peer_max = strangers;
    return config;
}

static int open_from(struct world *w, uint8_t host, gw_conn_id *id) {
    const int fd = client_connect_from(w, host);
    *id = client_enter(w, fd);
    return fd;
}

static uint8_t frame[MESSAGE + 14], back[MESSAGE];
static size_t frame_bytes;

// All of a message but its last byte, which holds a whole buffer.
static void hog(struct world *w, int fd) {
    static const uint8_t zeros[MESSAGE];
    frame_bytes = frame_write(frame, 0x82, zeros, sizeof zeros);
    const uint64_t end = world_stats(w).bytes_in + frame_bytes - 1;
    client_send(w, fd, frame, frame_bytes - 1);
    for (int turn = 0; turn < 1000 && world_stats(w).bytes_in < end; turn++) {
        world_turn(w, 1);
    }
    world_turn(w, 0);
}

static void expect_echo(struct world *w, int fd, size_t length) {
    static const uint8_t zeros[MESSAGE];
    client_send_frame(w, fd, 0x82, zeros, length);
    const struct frame echo = client_read_frame(w, fd, back, sizeof back);
    CHECK(echo.first == 0x82 && echo.length == length);
}

// A hundred hold all they can: half the pool is theirs, those longest under way give way to the next, and messages
// short and long get their echo. Whoever is left may end and is answered.
static void hogs__leave_others_their_echo(void) {
    enum { HELD = POOL / 2 / HOG_HOLDS };
    const struct gw_config config = config_small(0);
    struct world w;
    int fds[HOGS];
    world_open(&w, &config);
    w.echo = 1;
    const int other = client_open(&w, NULL);
    for (int i = 0; i < HOGS; i++) {
        fds[i] = client_open(&w, NULL);
        hog(&w, fds[i]);
        expect_echo(&w, other, 5);
        const uint64_t wanted = (uint64_t)(i + 1 < HELD ? i + 1 : HELD) * HOG_HOLDS;
        CHECK(world_stats(&w).gathered_bytes == wanted && world_stats(&w).pool_bytes <= wanted + 64 * KIB);
    }
    for (int i = 0; i < HOGS - HELD; i++) {
        CHECK(client_read_close(&w, fds[i]) == 1013);
    }
    expect_echo(&w, other, MESSAGE);
    const uint64_t before = world_stats(&w).messages_in;
    client_send(&w, fds[HOGS - 1], frame + frame_bytes - 1, 1);
    CHECK(client_read_frame(&w, fds[HOGS - 1], back, sizeof back).length == MESSAGE);
    CHECK(world_stats(&w).messages_in == before + 1);
    for (int i = 0; i < HOGS; i++) {
        close(fds[i]);
    }
    close(other);
    world_expect_empty(&w);
    world_close(&w);
}

// An address's strangers share a sixteenth of the pool; the one that would exceed it is failed, and nobody elsewhere.
// Who is vouched for no longer counts to it.
static void hogs__of_one_address_share_what_it_may_hold(void) {
    enum { HELD = POOL / 16 / HOG_HOLDS };
    const struct gw_config config = config_small(HOGS);
    struct world w;
    gw_conn_id ids[HELD + 2], id;
    int fds[HELD + 2];
    world_open(&w, &config);
    w.echo = 1;
    const int other = open_from(&w, 3, &id);
    hog(&w, other);
    for (int i = 0; i < HELD; i++) {
        fds[i] = open_from(&w, 2, &ids[i]);
        hog(&w, fds[i]);
    }
    CHECK(world_stats(&w).gathered_bytes == (HELD + 1) * HOG_HOLDS);
    fds[HELD] = open_from(&w, 2, &ids[HELD]);
    hog(&w, fds[HELD]);
    CHECK(client_read_close(&w, fds[HELD]) == 1013);
    CHECK(gw_conn_trust(w.reactor, ids[0]) == 0);
    fds[HELD + 1] = open_from(&w, 2, &ids[HELD + 1]);
    hog(&w, fds[HELD + 1]);
    CHECK(world_stats(&w).gathered_bytes == (HELD + 2) * HOG_HOLDS);
    client_send(&w, other, frame + frame_bytes - 1, 1);
    CHECK(client_read_frame(&w, other, back, sizeof back).length == MESSAGE);
    expect_echo(&w, other, MESSAGE);
    for (int i = 0; i < HELD + 2; i++) {
        close(fds[i]);
    }
    close(other);
    world_expect_empty(&w);
    world_close(&w);
}

int main(void) {
    RUN(hogs__leave_others_their_echo);
    RUN(hogs__of_one_address_share_what_it_may_hold);
    return 0;
}
