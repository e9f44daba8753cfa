// Messages in and out: sizes, fragments, pipelines, fan-out, leases, pings.
#include "gateway_client.h"

static uint8_t *pattern(size_t length) {
    uint8_t *bytes = malloc(length + 1);
    for (size_t i = 0; i < length; i++) {
        bytes[i] = (uint8_t)(i * 7 + i / 251);
    }
    return bytes;
}

static void expect_echo(struct world *w, int fd, uint8_t first, const uint8_t *payload, size_t length) {
    uint8_t *answer = malloc(length + 1);
    const struct frame frame = client_read_frame(w, fd, answer, length);
    CHECK(frame.first == first && frame.length == length && memcmp(answer, payload, length) == 0);
    free(answer);
}

static void messages__come_back_at_every_size(void) {
    struct gw_config config = config_usual(256);
    config.message_bytes_max = 4 << 20;
    const size_t sizes[] = { 0, 1, 125, 126, 127, 16384, 16449, 65535, 65536, 1 << 20, 4 << 20 };
    struct world w;
    world_open(&w, &config);
    w.echo = 1;
    const int fd = client_open(&w, NULL);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        uint8_t *payload = pattern(sizes[i]);
        client_send_frame(&w, fd, 0x82, payload, sizes[i]);
        expect_echo(&w, fd, 0x82, payload, sizes[i]);
        free(payload);
    }
    world_turn_for(&w, 20);
    CHECK(w.echo_refused == 0 && world_stats(&w).pool_bytes == 0);
    close(fd);
    world_close(&w);
}

// Many more than there are receive buffers, the next on its way before the last is answered: whole in one buffer, over the
// edge of several, in fragments, and short ones between them.
static void messages__sent_on_from_where_they_lie_keep_their_bytes_and_their_order(void) {
    struct gw_config config = config_usual(256);
    const size_t sizes[] = { 4096, 16384, 5, 4095, 12000, 70000, 126, 16376, 1 << 20, 8192 };
    enum { SIZES = sizeof sizes / sizeof *sizes, ROUNDS = 40 };
    struct world w;
    world_open(&w, &config);
    w.echo = w.forwards = 1;
    const int fd = client_open(&w, NULL);
    uint8_t *payload = pattern((1 << 20) + SIZES);
    for (int round = 0; round < ROUNDS; round++) {
        for (size_t i = 0; i < SIZES; i++) {
            client_send_frame(&w, fd, 0x82, payload + i, sizes[i] - i % 2);
        }
        client_send_frame(&w, fd, 0x02, payload, 5000);
        client_send_frame(&w, fd, 0x80, payload + 5000, 15000);
        for (size_t i = 0; i < SIZES; i++) {
            expect_echo(&w, fd, 0x82, payload + i, sizes[i] - i % 2);
        }
        expect_echo(&w, fd, 0x82, payload, 20000);
    }
    free(payload);
    world_turn_for(&w, 20);
    CHECK(w.echo_refused == 0 && world_stats(&w).pool_bytes == 0);
    close(fd);
    world_close(&w);
}

// Short, longer and long ones, text and binary, in whatever order and pieces: among them those that a turn takes no more of.
static void messages__of_every_length_keep_their_order_in_one_stream(void) {
    enum { MESSAGES = 3000 };
    struct gw_config config = config_usual(256);
    config.outbound_bytes_max = 200000;
    struct world w;
    uint64_t random = 11;
    static uint16_t lengths[MESSAGES];
    uint8_t *payload = pattern(20000);
    world_open(&w, &config);
    w.echo = w.forwards = 1;
    const int fd = client_open(&w, NULL);
    for (int i = 0; i < MESSAGES; i++) {
        const uint64_t kind = test_random(&random) % 8;
        lengths[i] = (uint16_t)(test_random(&random) % (kind < 3 ? 70 : kind < 6 ? 600 : kind < 7 ? 3000 : 17000));
    }
    for (int i = 0; i < MESSAGES;) {
        const int until = i + 1 + (int)(test_random(&random) % 60), first = i;
        for (; i < until && i < MESSAGES; i++) {
            client_send_frame(&w, fd, 0x82, payload + i % 200, lengths[i]);
        }
        for (int read = first; read < i; read++) {
            expect_echo(&w, fd, 0x82, payload + read % 200, lengths[read]);
        }
    }
    free(payload);
    world_turn_for(&w, 20);
    CHECK(w.echo_refused == 0 && world_stats(&w).pool_bytes == 0);
    close(fd);
    world_close(&w);
}

static void messages__are_joined_from_fragments_byte_by_byte(void) {
    const struct gw_config config = config_usual(256);
    struct world w;
    uint8_t bytes[256];
    world_open(&w, &config);
    const int fd = client_open(&w, NULL);
    size_t length = frame_write(bytes, 0x01, "gr\xc3", 3);
    length += frame_write(bytes + length, 0x89, "ping", 4);
    length += frame_write(bytes + length, 0x00, "\xbc\xc3\x9f", 3);
    length += frame_write(bytes + length, 0x80, "e!", 2);
    for (size_t i = 0; i < length; i++) {
        client_send(&w, fd, bytes + i, 1);
        world_turn(&w, 1);
    }
    const struct seen *message = world_await(&w, GW_EVENT_MESSAGE, 0);
    CHECK(message->opcode == GW_TEXT && message->length == 8);
    CHECK(memcmp(message->data, "gr\xc3\xbc\xc3\x9f" "e!", 8) == 0);
    expect_echo(&w, fd, 0x8a, (const uint8_t *)"ping", 4);
    world_turn(&w, 1);
    CHECK(world_stats(&w).pool_bytes == 0);
    close(fd);
    world_close(&w);
}

static void messages__keep_their_order_through_a_pipeline(void) {
    const struct gw_config config = config_usual(256);
    enum { COUNT = 10000, FRAME = 6 + 16 };
    struct world w;
    world_open(&w, &config);
    w.echo = 1;
    const int fd = client_open(&w, NULL);
    uint8_t *bytes = malloc(COUNT * FRAME);
    for (unsigned i = 0; i < COUNT; i++) {
        char payload[17];
        sprintf(payload, "message %08u", i);
        frame_write(bytes + i * FRAME, 0x81, payload, 16);
    }
    size_t sent = 0;
    for (unsigned i = 0; i < COUNT; i++) {
        while (sent < COUNT * FRAME) {
            const ssize_t some = send(fd, bytes + sent, COUNT * FRAME - sent, MSG_DONTWAIT);
            if (some <= 0) {
                break;
            }
            sent += (size_t)some;
        }
        char expected[17];
        sprintf(expected, "message %08u", i);
        expect_echo(&w, fd, 0x81, (const uint8_t *)expected, 16);
    }
    const struct gw_stats stats = world_stats(&w);
    CHECK(w.echo_refused == 0 && stats.messages_in == COUNT && stats.messages_out == COUNT);
    free(bytes);
    close(fd);
    world_close(&w);
}

static void messages__share_a_batch_among_connections(void) {
    struct gw_config config = config_usual(256);
    config.batch_events_max = 3;
    enum { CLIENTS = 5, EACH = 50 };
    struct world w;
    world_open(&w, &config);
    w.echo = 1;
    int fds[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = client_open(&w, NULL);
    }
    for (int i = 0; i < CLIENTS; i++) {
        for (int n = 0; n < EACH; n++) {
            const uint8_t payload[2] = { (uint8_t)i, (uint8_t)n };
            client_send_frame(&w, fds[i], 0x82, payload, 2);
        }
    }
    for (int n = 0; n < EACH; n++) {
        for (int i = CLIENTS - 1; i >= 0; i--) {
            const uint8_t payload[2] = { (uint8_t)i, (uint8_t)n };
            expect_echo(&w, fds[i], 0x82, payload, 2);
        }
    }
    for (int i = 0; i < CLIENTS; i++) {
        close(fds[i]);
    }
    CHECK(world_await(&w, GW_EVENT_CLOSED, CLIENTS - 1) != NULL);
    world_close(&w);
}

static void messages__leave_a_turn_in_one_send(void) {
    const struct gw_config config = config_usual(256);
    struct world w;
    gw_conn_id id;
    world_open(&w, &config);
    uint8_t bytes[100 * 18];
    const int fd = client_open(&w, &id);
    // With the first, kernel TLS gets its key.
    CHECK(gw_conn_send(w.reactor, id, GW_TEXT, (const uint8_t *)"first", 5) == 0);
    world_turn_for(&w, 10);
    CHECK(recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) == 7);
    const uint64_t before = world_stats(&w).syscalls;
    for (int i = 0; i < 100; i++) {
        CHECK(gw_conn_send(w.reactor, id, GW_TEXT, (const uint8_t *)"0123456789abcdef", 16) == 0);
    }
    world_turn(&w, 1);
    // io_uring submits it with its wait; epoll sends, then waits.
    CHECK(world_stats(&w).syscalls == before + (test_backend() == GW_BACKEND_EPOLL ? 2 : 1));
    CHECK(recv(fd, bytes, sizeof bytes, MSG_DONTWAIT) == sizeof bytes);
    close(fd);
    world_close(&w);
}

static void frame__reaches_many_and_leaves_nothing_behind(void) {
    const struct gw_config config = config_usual(256);
    enum { CLIENTS = 100 };
    struct world w;
    int fds[CLIENTS];
    gw_conn_id ids[CLIENTS];
    world_open(&w, &config);
    for (int i = 0; i < CLIENTS; i++) {
        fds[i] = client_open(&w, &ids[i]);
    }
    const size_t sizes[] = { 5, 100, 3000, 200000 };
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        uint8_t *payload = pattern(sizes[s]);
        struct gw_frame *frame;
        CHECK(gw_frame_create(w.reactor, GW_BINARY, payload, sizes[s], &frame) == 0);
        const uint64_t held = world_stats(&w).pool_bytes;
        for (int i = 0; i < CLIENTS; i++) {
            CHECK(gw_conn_send_frame(w.reactor, ids[i], frame) == 0);
            CHECK(i % 2 || gw_conn_send(w.reactor, ids[i], GW_TEXT, (const uint8_t *)"own", 3) == 0);
            CHECK(i % 3 || gw_conn_send_frame(w.reactor, ids[i], frame) == 0);
        }
        CHECK(world_stats(&w).pool_bytes <= held + CLIENTS * (512 + 2048));   // never copied as a whole
        gw_frame_release(w.reactor, frame);
        for (int i = 0; i < CLIENTS; i++) {
            expect_echo(&w, fds[i], 0x82, payload, sizes[s]);
            if (i % 2 == 0) {
                expect_echo(&w, fds[i], 0x81, (const uint8_t *)"own", 3);
            }
            if (i % 3 == 0) {
                expect_echo(&w, fds[i], 0x82, payload, sizes[s]);
            }
        }
        world_turn_for(&w, 10);
        CHECK(world_stats(&w).pool_bytes == 0);
        free(payload);
    }
    for (int i = 0; i < CLIENTS; i++) {
        close(fds[i]);
    }
    world_close(&w);
}

static void frame__of_a_closed_connection_is_released(void) {
    const struct gw_config config = config_usual(256);
    struct world w;
    gw_conn_id id;
    world_open(&w, &config);
    const int fd = client_open_sized(&w, &id, 4096);
    uint8_t *payload = pattern(500000);
    struct gw_frame *frame;
    CHECK(gw_frame_create(w.reactor, GW_BINARY, payload, 500000, &frame) == 0);
    for (int i = 0; i < 40; i++) {
        const int error = gw_conn_send_frame(w.reactor, id, frame);
        CHECK(error == 0 || error == GW_EFULL);
        world_turn(&w, 1);
    }
    gw_frame_release(w.reactor, frame);
    CHECK(world_stats(&w).pool_bytes > 0);
    close(fd);
    CHECK(world_await(&w, GW_EVENT_CLOSED, 0) != NULL);
    world_turn_for(&w, 20);
    CHECK(world_stats(&w).pool_bytes == 0);
    free(payload);
    world_close(&w);
}

// Turns without copying until a message comes, and leases it.
static struct gw_payload *lease_next(struct world *w, struct gw_event *leased) {
    const uint64_t end = world_now_ms() + WORLD_PATIENCE_MS;
    for (;;) {
        const struct gw_event *events;
        const int count = gw_reactor_turn(w->reactor, 1000000, &events);
        CHECK(count >= 0 && world_now_ms() < end);
        for (int i = 0; i < count; i++) {
            if (events[i].kind == GW_EVENT_MESSAGE) {
                *leased = events[i];
                return gw_payload_acquire(w->reactor, leased);
            }
        }
    }
}

static void lease__outlives_its_turn_and_is_returned(void) {
    struct gw_config config = config_usual(256);
    config.receive_buffers = 8;
    struct world w;
    struct gw_event events[5];
    struct gw_payload *payloads[5];
    world_open(&w, &config);
    const int fd = client_open(&w, NULL);
    for (int i = 0; i < 5; i++) {
        char text[16];
        client_send_frame(&w, fd, 0x81, text, (size_t)sprintf(text, "number %d", i));
        payloads[i] = lease_next(&w, &events[i]);
    }
    CHECK(payloads[3] != NULL && payloads[4] == NULL);   // half of the ring
    for (int i = 0; i < 100; i++) {
        client_send_frame(&w, fd, 0x81, "overwrite", 9);
        CHECK(world_await(&w, GW_EVENT_MESSAGE, 0) != NULL);
        world_forget(&w);
    }
    for (int i = 0; i < 4; i++) {
        char text[16];
        CHECK(events[i].length == (size_t)sprintf(text, "number %d", i));
        CHECK(memcmp(events[i].data, text, events[i].length) == 0);
        gw_payload_release(w.reactor, payloads[i]);
    }
    client_send_frame(&w, fd, 0x81, "again", 5);
    struct gw_payload *again = lease_next(&w, &events[0]);
    CHECK(again != NULL && gw_payload_acquire(w.reactor, &events[0]) == again);   // counted
    gw_payload_release(w.reactor, again);
    CHECK(memcmp(events[0].data, "again", 5) == 0);
    gw_payload_release(w.reactor, again);
    close(fd);
    world_close(&w);
}

static void lease__holds_a_gathered_message_too(void) {
    const struct gw_config config = config_usual(256);
    struct world w;
    struct gw_event event;
    world_open(&w, &config);
    const int fd = client_open(&w, NULL);
    uint8_t *payload = pattern(100000);
    client_send_frame(&w, fd, 0x82, payload, 100000);
    struct gw_payload *leased = lease_next(&w, &event);
    CHECK(leased != NULL);
    close(fd);
    world_turn_for(&w, 20);
    CHECK(event.length == 100000 && memcmp(event.data, payload, 100000) == 0);
    CHECK(world_stats(&w).pool_bytes > 0);
    gw_payload_release(w.reactor, leased);
    CHECK(world_stats(&w).pool_bytes == 0);
    free(payload);
    world_close(&w);
}

static void ping__is_answered_in_order(void) {
    const struct gw_config config = config_usual(256);
    struct world w;
    uint8_t bytes[2048], payload[125];
    size_t length = 0;
    world_open(&w, &config);
    const int fd = client_open(&w, NULL);
    for (int i = 0; i < 10; i++) {
        char text[16];
        length += frame_write(bytes + length, 0x89, text, (size_t)sprintf(text, "ping %d", i));
    }
    client_send(&w, fd, bytes, length);
    for (int i = 0; i < 10; i++) {
        char text[16];
        expect_echo(&w, fd, 0x8a, (const uint8_t *)text, (size_t)sprintf(text, "ping %d", i));
    }
    memset(payload, 'p', sizeof payload);
    client_send_frame(&w, fd, 0x89, payload, 125);
    expect_echo(&w, fd, 0x8a, payload, 125);
    client_send_frame(&w, fd, 0x89, NULL, 0);
    expect_echo(&w, fd, 0x8a, payload, 0);
    client_send_frame(&w, fd, 0x8a, "unasked", 7);
    client_send_frame(&w, fd, 0x82, "still here", 10);
    CHECK(world_await(&w, GW_EVENT_MESSAGE, 0)->length == 10);
    CHECK(w.seen_count == 2);
    close(fd);
    world_close(&w);
}

// A client that pings and never reads costs a bounded queue, and is answered its latest ping in the end.
static void ping__flood_with_unread_pongs_stays_small(void) {
    struct gw_config config = config_usual(256);
    config.write_stall_ms = 600000;
    struct world w;
    uint8_t frame[200], payload[125], latest[125];
    gw_conn_id id;
    world_open(&w, &config);
    const int fd = client_open_sized(&w, &id, 4096);
    uint64_t held_max = 0;
    uint8_t *ballast = pattern(900000);
    unsigned filled = 0;
    while (gw_conn_send(w.reactor, id, GW_BINARY, ballast, 900000) == 0) {   // the socket takes no more
        world_turn(&w, 1);
        filled++;
    }
    const uint64_t before = world_stats(&w).pool_bytes;
    // Behind a queue that is half full nothing is read: so many that the kernel's buffers hold them.
    for (unsigned i = 0; i < 4000; i++) {
        memset(payload, 0, sizeof payload);
        sprintf((char *)payload, "ping %u", i);
        const size_t length = frame_write(frame, 0x89, payload, sizeof payload);
        client_send(&w, fd, frame, length);
        if (i % 100 == 0) {
            world_turn(&w, 0);
            const uint64_t held = world_stats(&w).pool_bytes;
            held_max = held > held_max ? held : held_max;
        }
        memcpy(latest, payload, sizeof payload);
    }
    CHECK(held_max <= before + 8192);
    uint8_t *sink = malloc(900000);
    for (unsigned i = 0; i < filled; i++) {
        CHECK(client_read_frame(&w, fd, sink, 900000).length == 900000);
    }
    for (;;) {
        const struct frame pong = client_read_frame(&w, fd, payload, sizeof payload);
        CHECK(pong.first == 0x8a && pong.length == 125);
        if (memcmp(payload, latest, sizeof latest) == 0) {
            break;
        }
    }
    free(sink);
    free(ballast);
    close(fd);
    world_close(&w);
}

// One receive may bring a part of many buffers' worth: what is short and lies whole in one goes another way than the rest.
static void messages__of_one_long_receive_come_in_order_whatever_the_buffers(void) {
    static const uint32_t buffer_bytes[] = { 64, 128, 320, 16448 };
    enum { MESSAGES = 700, LONGEST = 180 };
    static uint8_t stream[MESSAGES * (LONGEST + 14)];
    for (size_t row = 0; row < sizeof buffer_bytes / sizeof *buffer_bytes; row++) {
        struct gw_config config = config_usual(2);
        struct world w;
        config.receive_buffer_bytes = buffer_bytes[row];
        world_open(&w, &config);
        w.echo = 1;
        const int fd = client_open(&w, NULL), other = client_open(&w, NULL);
        uint8_t payload[LONGEST], got[LONGEST];
        size_t length = 0;
        for (uint32_t number = 0; number < MESSAGES; number++) {
            memset(payload, 'a' + (int)(number % 26), sizeof payload);
            length += frame_write(stream + length, 0x81, payload, number * 7 % (number % 11 == 0 ? LONGEST : 60));
        }
        client_send(&w, fd, stream, length);
        client_send_frame(&w, other, 0x82, "beside", 6);
        for (uint32_t number = 0; number < MESSAGES; number++) {
            const struct frame frame = client_read_frame(&w, fd, got, sizeof got);
            CHECK(frame.first == 0x81 && frame.length == number * 7 % (number % 11 == 0 ? LONGEST : 60));
            memset(payload, 'a' + (int)(number % 26), sizeof payload);
            CHECK(memcmp(got, payload, frame.length) == 0);
        }
        CHECK(client_read_frame(&w, other, got, sizeof got).length == 6 && w.echo_refused == 0);
        CHECK(world_stats(&w).messages_in == MESSAGES + 1 && world_stats(&w).messages_out == MESSAGES + 1);
        close(fd);
        close(other);
        world_turn_for(&w, 20);
        CHECK(world_stats(&w).pool_bytes == 0);
        world_close(&w);
    }
}

int main(void) {
    RUN(messages__come_back_at_every_size);
    RUN(messages__sent_on_from_where_they_lie_keep_their_bytes_and_their_order);
    RUN(messages__of_every_length_keep_their_order_in_one_stream);
    RUN(messages__are_joined_from_fragments_byte_by_byte);
    RUN(messages__keep_their_order_through_a_pipeline);
    RUN(messages__share_a_batch_among_connections);
    RUN(messages__leave_a_turn_in_one_send);
    RUN(frame__reaches_many_and_leaves_nothing_behind);
    RUN(frame__of_a_closed_connection_is_released);
    RUN(lease__outlives_its_turn_and_is_returned);
    RUN(lease__holds_a_gathered_message_too);
    RUN(ping__is_answered_in_order);
    RUN(ping__flood_with_unread_pongs_stays_small);
    RUN(messages__of_one_long_receive_come_in_order_whatever_the_buffers);
    return 0;
}
