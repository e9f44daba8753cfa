// permessage-deflate on real connections: what is refused, what a bomb costs, who gets a context, and that messages
// come and go as they were. The clients use zlib by themselves.
#include "gateway_client.h"

#include <zlib.h>

enum { KIB = 1024, MIB = 1024 * KIB };

#define OFFER(parameters) "Sec-WebSocket-Extensions: permessage-deflate" parameters "\r\n"

// A client past its handshake with these header lines; *agreed gets the response's extension header's value.
static int open_with(struct world *w, const char *lines, char *agreed) {
    char request[2048], head[1024];
    const size_t before = world_count(w, GW_EVENT_OPENED);
    const int fd = client_connect(w);
    snprintf(request, sizeof request, "GET /ws HTTP/1.1\r\n" UPGRADE_LINES "%s\r\n", lines);
    client_send(w, fd, request, strlen(request));
    CHECK(client_read_response(w, fd, head, sizeof head) == 101);
    world_await(w, GW_EVENT_OPENED, before);
    const char *header = strstr(head, "Sec-WebSocket-Extensions: ");
    agreed[0] = 0;
    if (header != NULL) {
        const char *value = header + strlen("Sec-WebSocket-Extensions: ");
        memcpy(agreed, value, strcspn(value, "\r"));
        agreed[strcspn(value, "\r")] = 0;
    }
    return fd;
}

struct peer { z_stream in, out; };

static void peer_init(struct peer *peer) {
    *peer = (struct peer){ .in = { .next_in = NULL } };
    CHECK(inflateInit2(&peer->in, -15) == Z_OK);
    CHECK(deflateInit2(&peer->out, 9, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) == Z_OK);
}

static void peer_deinit(struct peer *peer) {
    inflateEnd(&peer->in);
    deflateEnd(&peer->out);
}

static size_t peer_deflate(struct peer *peer, const void *data, size_t length, uint8_t *out, size_t room) {
    peer->out.next_in = (void *)(uintptr_t)data;
    peer->out.avail_in = (unsigned)length;
    peer->out.next_out = out;
    peer->out.avail_out = (unsigned)room;
    CHECK(deflate(&peer->out, Z_SYNC_FLUSH) == Z_OK && peer->out.avail_out > 0);
    return room - peer->out.avail_out - 4;
}

// Reads one message; its first byte goes to *first, and it is inflated if it says so.
static size_t peer_read(struct world *w, int fd, struct peer *peer, uint8_t *first, uint8_t *out, size_t room) {
    static uint8_t payload[2 * MIB + 4];
    const struct frame frame = client_read_frame(w, fd, payload, sizeof payload - 4);
    *first = frame.first;
    if (!(frame.first & 0x40)) {
        CHECK(frame.length <= room);
        memcpy(out, payload, frame.length);
        return frame.length;
    }
    memcpy(payload + frame.length, "\0\0\xFF\xFF", 4);
    peer->in.next_in = payload;
    peer->in.avail_in = (unsigned)frame.length + 4;
    peer->in.next_out = out;
    peer->in.avail_out = (unsigned)room;
    CHECK(inflate(&peer->in, Z_SYNC_FLUSH) == Z_OK && peer->in.avail_in == 0 && peer->in.avail_out > 0);
    return room - peer->in.avail_out;
}

static void deflate__is_refused_where_it_was_not_agreed(void) {
    struct gw_config config = config_usual(64);
    struct world w;
    char agreed[256];
    static const char *const offers[] = {
        "", OFFER("; server_max_window_bits=7"), OFFER("; client_max_window_bits=16"), OFFER("; unheard_of"),
    };
    world_open(&w, &config);
    for (size_t index = 0; index < sizeof offers / sizeof offers[0]; index++) {
        const int fd = open_with(&w, offers[index], agreed);
        CHECK(agreed[0] == 0);
        client_send_frame(&w, fd, 0xC1, "\xF2\x48\xCD\xC9\xC9\x07\x00", 7);
        CHECK(client_read_close(&w, fd) == 1002);
        close(fd);
    }
    world_close(&w);
    config.deflate = 0;
    world_open(&w, &config);
    close(open_with(&w, OFFER(""), agreed));
    CHECK(agreed[0] == 0 && world_stats(&w).deflate_bytes == 0);
    world_close(&w);
}

static void deflate__malformed_offers_are_answered_with_400(void) {
    const struct gw_config config = config_usual(64);
    struct world w;
    char head[1024];
    world_open(&w, &config);
    const char request[] = "GET /ws HTTP/1.1\r\n" UPGRADE_LINES OFFER("; =1") "\r\n";
    const int fd = client_connect(&w);
    client_send(&w, fd, request, sizeof request - 1);
    CHECK(client_read_response(&w, fd, head, sizeof head) == 400);
    close(fd);
    world_close(&w);
}

static void deflate__bad_data_end_with_their_code(void) {
    struct gw_config config = config_usual(64);
    config.message_bytes_max = 4 * KIB;
    struct world w;
    char agreed[256];
    struct peer peer;
    static uint8_t text[8 * KIB], data[8 * KIB];
    peer_init(&peer);
    world_open(&w, &config);
    memset(text, 'a', sizeof text);
    const size_t too_long = peer_deflate(&peer, text, config.message_bytes_max + 1, data, sizeof data);
    const struct { const char *name; uint8_t first; const void *data; size_t length; int code; } rows[] = {
        { "garbage", 0xC2, "\xFF\xFF\xFF\xFF", 4, 1007 },
        { "cut off", 0xC2, "\xF2\x48\xCD", 3, 1007 },
        { "nothing", 0xC2, "", 0, 1007 },
        { "no UTF-8", 0xC1, "\x00\x01\x00\xFE\xFF\xFF\x00", 7, 1007 },
        { "too long", 0xC2, data, too_long, 1009 },
        { "RSV1 on a ping", 0xC9, "", 0, 1002 },
    };
    for (size_t index = 0; index < sizeof rows / sizeof rows[0]; index++) {
        world_forget(&w);
        const int fd = open_with(&w, OFFER(""), agreed);
        client_send_frame(&w, fd, rows[index].first, rows[index].data, rows[index].length);
        CHECK_ROW(rows[index].name, client_read_close(&w, fd) == rows[index].code);
        CHECK_ROW(rows[index].name, world_count(&w, GW_EVENT_MESSAGE) == 0);
        close(fd);
        CHECK_ROW(rows[index].name, world_await(&w, GW_EVENT_CLOSED, 0)->code == rows[index].code);
    }
    peer_deinit(&peer);
    CHECK(world_stats(&w).deflate_bytes == 0);
    world_close(&w);
}

static uint64_t cpu_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

// A thousand to one: closed once a byte more than the limit is there, with at most the limit's size class held on the
// way. Without sanitizers server and client together compute for less than 100 ms.
static void deflate__a_bomb_is_closed_within_bounded_time_and_memory(void) {
    const struct gw_config config = config_usual(64);
    struct world w;
    char agreed[256];
    struct peer peer;
    uint8_t *zeros = calloc(1, 16 * MIB), *bomb = malloc(64 * KIB);
    peer_init(&peer);
    const size_t length = peer_deflate(&peer, zeros, 16 * MIB, bomb, 64 * KIB);
    CHECK(16 * MIB / length > 950);
    world_open(&w, &config);
    const int fd = open_with(&w, OFFER(""), agreed);
    uint64_t held = 0;
    uint8_t *frame = malloc(length + 14);
    const size_t bytes = frame_write(frame, 0xC2, bomb, length);
    const uint64_t start = cpu_now_ms();
    for (size_t at = 0; at < bytes; at += KIB) {
        client_send(&w, fd, frame + at, bytes - at < KIB ? bytes - at : KIB);
        world_turn(&w, 0);
        const uint64_t now = world_stats(&w).pool_bytes;
        held = now > held ? now : held;
    }
    CHECK(client_read_close(&w, fd) == 1009);
#ifndef GW_POOL_POISONS
    CHECK(cpu_now_ms() - start < 100);
#endif
    const uint64_t inflated = world_stats(&w).bytes_inflated;
    CHECK(inflated > 0 && inflated <= config.message_bytes_max && world_stats(&w).gathered_bytes == 0);
    CHECK(held > 0 && held <= config.message_bytes_max + MIB + 128 * KIB);
    free(frame);
    free(zeros);
    free(bomb);
    peer_deinit(&peer);
    close(fd);
    world_await(&w, GW_EVENT_CLOSED, 0);
    world_close(&w);
}

// Bombs just short of the limit that never end: their inflaters count with what they have inflated, those longest under
// way give way, and who is left can still end.
static void deflate__unfinished_bombs_leave_room_for_others(void) {
    enum { BOMBS = 40 };
    struct gw_config config = config_usual(64);
    config.message_bytes_max = 100 * KIB;
    config.pool_bytes_max = 4 * MIB;
    config.deflate_bytes_max = 0;
    struct world w;
    char agreed[256];
    static uint8_t zeros[100 * KIB], back[100 * KIB];
    uint8_t bomb[KIB], first;
    int fds[BOMBS];
    world_open(&w, &config);
    w.echo = 1;
    const int other = open_with(&w, "", agreed);
    for (int i = 0; i < BOMBS; i++) {
        struct peer peer;
        peer_init(&peer);
        fds[i] = open_with(&w, OFFER(""), agreed);
        client_send_frame(&w, fds[i], 0x42, bomb, peer_deflate(&peer, zeros, sizeof zeros - 1, bomb, sizeof bomb));
        world_turn_for(&w, 2);
        const struct gw_stats stats = world_stats(&w);
        CHECK(stats.gathered_bytes > 128 * KIB && stats.gathered_bytes <= config.pool_bytes_max / 2);
        CHECK(stats.pool_bytes <= config.pool_bytes_max / 2 + 64 * KIB);
        peer_deinit(&peer);
    }
    client_send_frame(&w, other, 0x82, zeros, sizeof zeros);
    CHECK(client_read_frame(&w, other, back, sizeof back).length == sizeof zeros);
    CHECK(client_read_close(&w, fds[0]) == 1013);
    struct peer peer;
    peer_init(&peer);
    client_send_frame(&w, fds[BOMBS - 1], 0x80, "", 0);
    CHECK(peer_read(&w, fds[BOMBS - 1], &peer, &first, back, sizeof back) == sizeof zeros - 1);
    peer_deinit(&peer);
    for (int i = 0; i < BOMBS; i++) {
        close(fds[i]);
    }
    close(other);
    world_expect_empty(&w);
    world_close(&w);
}

static void fill(uint8_t *bytes, size_t length, uint64_t *seed) {
    const uint64_t letters = 1 + test_random(seed) % 26;
    for (size_t index = 0; index < length; index++) {
        bytes[index] = (uint8_t)('a' + test_random(seed) % letters);
    }
}

// Messages of all sizes there and back, in fragments with a ping between them, under each agreement.
static void deflate__messages_come_back_as_they_went(void) {
    static const struct { const char *offer, *agreed; uint8_t bits; } rows[] = {
        { OFFER(""), "permessage-deflate; server_max_window_bits=12", 12 },
        { OFFER("; client_max_window_bits"), "permessage-deflate", 15 },
        { OFFER("; server_no_context_takeover"), "permessage-deflate; server_no_context_takeover", 15 },
        { OFFER("; server_max_window_bits=9"), "permessage-deflate; server_max_window_bits=9", 15 },
        { OFFER("; server_max_window_bits=8"),
          "permessage-deflate; server_no_context_takeover; server_max_window_bits=8", 15 },
        { "Sec-WebSocket-Extensions: other\r\n" OFFER("; unknown=\"x\", permessage-deflate"), "permessage-deflate", 15 },
    };
    static uint8_t text[100 * KIB], data[128 * KIB], back[100 * KIB + 1];
    uint64_t seed = 5;
    for (size_t index = 0; index < sizeof rows / sizeof rows[0]; index++) {
        struct gw_config config = config_usual(64);
        config.deflate_bits = rows[index].bits;
        struct world w;
        char agreed[256];
        struct peer peer;
        uint8_t first;
        size_t compressed = 0;
        peer_init(&peer);
        world_open(&w, &config);
        w.echo = 1;
        const int fd = open_with(&w, rows[index].offer, agreed);
        CHECK_ROW(rows[index].offer, strcmp(agreed, rows[index].agreed) == 0);
        for (int round = 0; round < 60; round++) {
            const size_t length = 1 + (test_random(&seed) % sizeof text >> test_random(&seed) % 14);
            fill(text, length, &seed);
            const size_t bytes = peer_deflate(&peer, text, length, data, sizeof data);
            const size_t cut = test_random(&seed) % (bytes + 1);
            client_send_frame(&w, fd, 0x41, data, cut);
            client_send_frame(&w, fd, 0x89, "p", 1);
            client_send_frame(&w, fd, 0x80, data + cut, bytes - cut);
            CHECK(peer_read(&w, fd, &peer, &first, back, sizeof back) == 1 && first == 0x8A);
            CHECK(peer_read(&w, fd, &peer, &first, back, sizeof back) == length && memcmp(back, text, length) == 0);
            CHECK((first & 0xBF) == 0x81 && ((first & 0x40) == 0 || length >= config.deflate_threshold_bytes));
            compressed += (first & 0x40) != 0;
        }
        CHECK_ROW(rows[index].offer, strstr(agreed, "=8") != NULL ? compressed == 0 : compressed > 5);
        peer_deinit(&peer);
        close(fd);
        world_await(&w, GW_EVENT_CLOSED, 0);
        CHECK(world_stats(&w).deflate_bytes == 0);
        world_close(&w);
    }
}

// Frames to many are not compressed, whoever they go to.
static void deflate__shared_frames_are_sent_as_they_are(void) {
    const struct gw_config config = config_usual(64);
    struct world w;
    char agreed[256];
    uint8_t text[KIB], back[KIB];
    world_open(&w, &config);
    const int fd = open_with(&w, OFFER(""), agreed);
    memset(text, 'x', sizeof text);
    struct gw_frame *frame;
    CHECK(gw_frame_create(w.reactor, GW_TEXT, text, sizeof text, &frame) == 0);
    CHECK(gw_conn_send_frame(w.reactor, world_await(&w, GW_EVENT_OPENED, 0)->conn, frame) == 0);
    gw_frame_release(w.reactor, frame);
    CHECK(client_read_frame(&w, fd, back, sizeof back).first == 0x81 && memcmp(back, text, sizeof text) == 0);
    close(fd);
    world_await(&w, GW_EVENT_CLOSED, 0);
    world_close(&w);
}

// Contexts come out of one budget; whoever comes too late compresses message by message, and a close gives back.
static void deflate__contexts_keep_to_their_budget(void) {
    struct gw_config config = config_usual(64);
    config.deflate_bytes_max = 2 * 57 * KIB + 20 * KIB;
    struct world w;
    char agreed[256];
#define WINDOWS "server_max_window_bits=12; client_max_window_bits=12"
#define NO_CONTEXT "server_no_context_takeover; client_no_context_takeover; "
    static const char *const expected[] = {
        "permessage-deflate; " WINDOWS,
        "permessage-deflate; " WINDOWS,
        "permessage-deflate; server_no_context_takeover; " WINDOWS,
        "permessage-deflate; " NO_CONTEXT WINDOWS,
    };
    int fds[4];
    world_open(&w, &config);
    w.echo = 1;
    for (size_t index = 0; index < 4; index++) {
        fds[index] = open_with(&w, OFFER("; client_max_window_bits"), agreed);
        CHECK_ROW(expected[index], strcmp(agreed, expected[index]) == 0);
        CHECK(world_stats(&w).deflate_bytes <= config.deflate_bytes_max);
    }
    // The one without any context: nothing is held between its messages.
    struct peer peer;
    uint8_t text[2 * KIB], data[2 * KIB], back[2 * KIB + 1], first;
    uint64_t seed = 8;
    for (int round = 0; round < 5; round++) {
        peer_init(&peer);
        fill(text, sizeof text, &seed);
        client_send_frame(&w, fds[3], 0xC1, data, peer_deflate(&peer, text, sizeof text, data, sizeof data));
        CHECK(peer_read(&w, fds[3], &peer, &first, back, sizeof back) == sizeof text && first == 0xC1);
        CHECK(memcmp(back, text, sizeof text) == 0);
        peer_deinit(&peer);
        world_turn_for(&w, 5);
        CHECK(world_stats(&w).pool_bytes == 0);
    }
    for (size_t index = 0; index < 4; index++) {
        close(fds[index]);
    }
    world_await(&w, GW_EVENT_CLOSED, 3);
    CHECK(world_stats(&w).deflate_bytes == 0);
    close(open_with(&w, OFFER("; client_max_window_bits"), agreed));
    CHECK(strcmp(agreed, expected[0]) == 0);
    world_close(&w);
}

// With hardly a buffer to be had, messages go out as they are, and what can't be inflated ends with 1013.
static void deflate__does_without_memory_that_is_not_there(void) {
    struct gw_config config = config_usual(64);
    config.message_bytes_max = 4 * KIB;
    config.pool_bytes_max = 128 * KIB;
    struct world w;
    char agreed[256];
    uint8_t text[2 * KIB], back[2 * KIB], first;
    struct peer peer;
    peer_init(&peer);
    world_open(&w, &config);
    const int fd = open_with(&w, OFFER(""), agreed);
    const gw_conn_id id = world_await(&w, GW_EVENT_OPENED, 0)->conn;
    struct gw_frame *frames[80];
    size_t count = 0;
    memset(text, 'x', sizeof text);
    while (count < 80 && gw_frame_create(w.reactor, GW_TEXT, text, 2000, &frames[count]) == 0) {
        count++;
    }
    CHECK(count < 80);
    for (int kept = 0; kept < 3; kept++) {
        gw_frame_release(w.reactor, frames[--count]);
    }
    CHECK(gw_conn_send(w.reactor, id, GW_TEXT, text, 1000) == 0);
    CHECK(peer_read(&w, fd, &peer, &first, back, sizeof back) == 1000 && first == 0x81);
    client_send_frame(&w, fd, 0xC1, "\xF2\x48\xCD\xC9\xC9\x07\x00", 7);
    CHECK(client_read_close(&w, fd) == 1013);
    while (count > 0) {
        gw_frame_release(w.reactor, frames[--count]);
    }
    peer_deinit(&peer);
    close(fd);
    CHECK(world_await(&w, GW_EVENT_CLOSED, 0)->code == 1013);
    world_close(&w);
}

int main(void) {
    RUN(deflate__is_refused_where_it_was_not_agreed);
    RUN(deflate__malformed_offers_are_answered_with_400);
    RUN(deflate__bad_data_end_with_their_code);
    RUN(deflate__a_bomb_is_closed_within_bounded_time_and_memory);
    RUN(deflate__unfinished_bombs_leave_room_for_others);
    RUN(deflate__messages_come_back_as_they_went);
    RUN(deflate__shared_frames_are_sent_as_they_are);
    RUN(deflate__contexts_keep_to_their_budget);
    RUN(deflate__does_without_memory_that_is_not_there);
    return 0;
}
