// What many sends of one turn come to: each client reads what was sent to it, whole, once and in order, whichever way it
// went (gw_writer.h, gw_send.c), and however the ways alternate.
#include "gateway_client.h"
#include "gw_reactor.h"
#include "gw_uring.h"
#include "gw_writer.h"

enum { CLIENTS = 5, PAYLOAD_MAX = 2000, WAITING_MAX = 4096 };

// What a client has yet to read: each message is made from its number.
struct reader {
    int fd;
    gw_conn_id id;
    uint32_t numbers[WAITING_MAX];
    uint32_t first, end;
};

static struct gw_config config_of(uint32_t connections) {
    struct gw_config config;
    gw_config_init(&config);
    config.connections_max = connections;
    return config;
}

static uint64_t message_of(uint32_t number, uint8_t *payload) {
    uint64_t random = number * 0x9e3779b97f4a7c15u + 1;
    const uint64_t kind = test_random(&random) % 8;
    const uint64_t length = 4 + test_random(&random) % (kind == 0 ? PAYLOAD_MAX - 4 : kind < 3 ? 122 : 30);
    memset(payload, (int)(number % 251), length);
    memcpy(payload, &number, sizeof number);
    return length;
}

static void expect(struct reader *reader, uint32_t number) {
    CHECK(reader->end - reader->first < WAITING_MAX);
    reader->numbers[reader->end++ % WAITING_MAX] = number;
}

static void send_one(struct world *w, struct reader *reader, uint32_t number) {
    uint8_t payload[PAYLOAD_MAX];
    const uint64_t length = message_of(number, payload);
    CHECK(gw_conn_send(w->reactor, reader->id, GW_BINARY, payload, length) == 0);
    expect(reader, number);
}

static void reader_open(struct world *w, struct reader *reader) {
    reader->first = reader->end = 0;
    reader->fd = client_open(w, &reader->id);
}

static void read_all(struct world *w, struct reader *reader) {
    uint8_t payload[PAYLOAD_MAX], wanted[PAYLOAD_MAX];
    while (reader->first != reader->end) {
        const uint64_t length = message_of(reader->numbers[reader->first++ % WAITING_MAX], wanted);
        const struct frame frame = client_read_frame(w, reader->fd, payload, sizeof payload);
        CHECK(frame.first == 0x82 && frame.length == length && memcmp(payload, wanted, length) == 0);
    }
}

static void sends__of_a_turn_keep_their_order_whatever_they_are(void) {
    const struct gw_config config = config_of(CLIENTS);
    static struct reader readers[CLIENTS];
    struct world w;
    uint64_t random = 5;
    uint32_t number = 0;
    world_open(&w, &config);
    for (int i = 0; i < CLIENTS; i++) {
        reader_open(&w, &readers[i]);
    }
    for (int round = 0; round < 600; round++) {
        for (uint64_t sends = test_random(&random) % 24; sends > 0; sends--) {
            struct reader *reader = &readers[test_random(&random) % CLIENTS];
            uint8_t payload[PAYLOAD_MAX];
            struct gw_frame *frame;
            switch (test_random(&random) % 6) {
            case 0:
                number++;
                CHECK(gw_frame_create(w.reactor, GW_BINARY, payload, message_of(number, payload), &frame) == 0);
                for (int to = 0; to < CLIENTS; to++) {
                    CHECK(gw_conn_send_frame(w.reactor, readers[to].id, frame) == 0);
                    expect(&readers[to], number);
                }
                gw_frame_release(w.reactor, frame);
                break;
            case 1:
                for (int times = 0; times < 5; times++) {
                    send_one(&w, reader, ++number);
                }
                break;
            case 2:
                CHECK(gw_conn_set_idle(w.reactor, reader->id, 100000) == 0);
                client_send_frame(&w, reader->fd, 0x8a, "p", 1);   // turns, perhaps
                break;
            default:
                send_one(&w, reader, ++number);
            }
        }
        if (test_random(&random) % 3 > 0) {
            world_turn(&w, 0);
        }
        if (test_random(&random) % 4 == 0) {
            for (int i = 0; i < CLIENTS; i++) {
                read_all(&w, &readers[i]);
            }
        }
    }
    for (int i = 0; i < CLIENTS; i++) {
        read_all(&w, &readers[i]);
        close(readers[i].fd);
    }
    world_expect_empty(&w);
    world_close(&w);
}

// Turns after so many sends; small buffers, of which a refused chunk needs many.
static void fill_who_does_not_read(uint32_t sends, uint32_t outbound_bytes) {
    struct gw_config config = config_of(2);
    config.outbound_bytes_max = outbound_bytes;
    config.message_bytes_max = 1000;
    config.receive_buffer_bytes = 1024;
    static struct reader reader;
    struct world w;
    world_open(&w, &config);
    reader.fd = client_open_sized(&w, &reader.id, 4096);
    uint32_t number = 0;
    uint8_t payload[8] = { 0 };
    int error = 0;
    while (error == 0) {
        memcpy(payload, &number, sizeof number);
        error = gw_conn_send(w.reactor, reader.id, GW_BINARY, payload, sizeof payload);
        number += error == 0;
        if (number % sends == 0) {
            world_turn(&w, 0);
        }
        CHECK(number < 10000000);
    }
    CHECK(error == GW_EFULL && number >= outbound_bytes / 10);
    for (uint32_t read = 0; read < number; read++) {
        uint32_t got;
        CHECK(client_read_frame(&w, reader.fd, payload, sizeof payload).length == 8);
        memcpy(&got, payload, sizeof got);
        CHECK(got == read);
    }
    world_await(&w, GW_EVENT_WRITABLE, 0);
    CHECK(gw_conn_send(w.reactor, reader.id, GW_BINARY, payload, sizeof payload) == 0);
    CHECK(client_read_frame(&w, reader.fd, payload, sizeof payload).length == 8);
    if (!test_over_tls()) {
        CHECK(world_stats(&w).bytes_out == (uint64_t)(number + 1) * 10 + 129);   // and the response
    }
    CHECK(world_stats(&w).pool_bytes == 0);
    close(reader.fd);
    world_turn_for(&w, 20);
    world_close(&w);
}

static void sends__to_who_does_not_read_are_kept_in_order_until_the_queue_is_full(void) {
    fill_who_does_not_read(7, 20000);
    fill_who_does_not_read(1500, 20000);
    fill_who_does_not_read(5000, 200000);
}

static void sends__of_a_turn_may_be_more_than_any_buffer_holds(void) {
    const struct gw_config config = config_of(2);
    struct world w;
    gw_conn_id ids[2];
    world_open(&w, &config);
    const int fds[2] = { client_open(&w, &ids[0]), client_open(&w, &ids[1]) };
    uint8_t payload[125];
    for (uint32_t number = 0; number < 4000; number++) {
        memset(payload, (int)(number % 256), sizeof payload);
        CHECK(gw_conn_send(w.reactor, ids[number / 1000 % 2], GW_BINARY, payload, sizeof payload) == 0);
    }
    for (uint32_t number = 0; number < 4000; number++) {
        const struct frame frame = client_read_frame(&w, fds[number / 1000 % 2], payload, sizeof payload);
        CHECK(frame.length == sizeof payload && payload[0] == number % 256 && payload[124] == number % 256);
    }
    close(fds[0]);
    close(fds[1]);
    world_turn_for(&w, 20);
    CHECK(world_stats(&w).pool_bytes == 0);
    world_close(&w);
}

static void sends__of_longer_messages_go_on_where_the_turn_has_no_more_room(void) {
    const struct gw_config config = config_of(1);
    struct world w;
    gw_conn_id id;
    uint8_t payload[1500];
    world_open(&w, &config);
    const int fd = client_open(&w, &id);
    for (int round = 0; round < 3; round++) {
        for (uint32_t number = 0; number < 200; number++) {
            memset(payload, (int)number, sizeof payload);
            CHECK(gw_conn_send(w.reactor, id, GW_BINARY, payload, 1 + number * 7) == 0);
        }
        gw_reactor_stop_listening(w.reactor);
        for (uint32_t number = 0; number < 200; number++) {
            const struct frame frame = client_read_frame(&w, fd, payload, sizeof payload);
            CHECK(frame.length == 1 + number * 7 && payload[0] == number && payload[number * 7] == number);
        }
    }
    close(fd);
    world_turn_for(&w, 20);
    CHECK(world_stats(&w).pool_bytes == 0);
    world_close(&w);
}

static void sends__to_a_tiny_queue_are_counted_one_by_one(void) {
    struct gw_config config = config_of(1);
    config.outbound_bytes_max = 100;
    struct world w;
    gw_conn_id id;
    uint8_t payload[60] = { 0 };
    world_open(&w, &config);
    const int fd = client_open(&w, &id);
    world_turn(&w, 0);
    for (int round = 0; round < 3; round++) {
        CHECK(gw_conn_send(w.reactor, id, GW_BINARY, payload, sizeof payload) == 0);
        CHECK(gw_conn_send(w.reactor, id, GW_BINARY, payload, sizeof payload) == 0);
        CHECK(gw_conn_send(w.reactor, id, GW_BINARY, payload, sizeof payload) == GW_EFULL);
        CHECK(client_read_frame(&w, fd, payload, sizeof payload).length == sizeof payload);
        CHECK(client_read_frame(&w, fd, payload, sizeof payload).length == sizeof payload);
        world_await(&w, GW_EVENT_WRITABLE, (size_t)round);
    }
    close(fd);
    world_turn_for(&w, 20);
    CHECK(world_stats(&w).pool_bytes == 0);
    world_close(&w);
}

static void sends__before_a_close_arrive_before_it(void) {
    const struct gw_config config = config_of(2);
    struct world w;
    gw_conn_id id;
    uint8_t payload[8];
    world_open(&w, &config);
    for (int sends = 1; sends <= 3; sends++) {
        const size_t closed = world_count(&w, GW_EVENT_CLOSED);
        const int fd = client_open(&w, &id);
        for (int i = 0; i < sends; i++) {
            CHECK(gw_conn_send(w.reactor, id, GW_TEXT, (const uint8_t *)"last", 4) == 0);
        }
        CHECK(gw_conn_close(w.reactor, id, 4001, "done") == 0);
        CHECK(gw_conn_send(w.reactor, id, GW_TEXT, (const uint8_t *)"late", 4) == GW_ECLOSING);
        for (int i = 0; i < sends; i++) {
            CHECK(client_read_frame(&w, fd, payload, sizeof payload).length == 4 && memcmp(payload, "last", 4) == 0);
        }
        CHECK(client_read_close(&w, fd) == 4001);
        client_send_close(&w, fd, 1000);
        CHECK(world_await(&w, GW_EVENT_CLOSED, closed)->conn == id);
        CHECK(gw_conn_send(w.reactor, id, GW_TEXT, (const uint8_t *)"late", 4) == GW_ENOCONN);
        close(fd);
    }
    CHECK(gw_conn_send(w.reactor, 0, GW_TEXT, (const uint8_t *)"nobody", 6) == GW_ENOCONN);
    CHECK(gw_conn_send(w.reactor, UINT64_MAX, GW_TEXT, (const uint8_t *)"nobody", 6) == GW_ENOCONN);
    world_close(&w);
}

// Who went while something was sent to it is not its slot's next owner.
static void sends__reach_no_later_owner_of_the_slot(void) {
    const struct gw_config config = config_of(1);
    struct world w;
    gw_conn_id former = 0, id;
    uint8_t payload[8];
    world_open(&w, &config);
    for (uint32_t round = 0; round < 20; round++) {
        const int fd = client_open(&w, &id);
        CHECK((uint32_t)id == 0 && id != former);
        CHECK(former == 0 || gw_conn_send(w.reactor, former, GW_BINARY, (const uint8_t *)"x", 1) == GW_ENOCONN);
        CHECK(gw_conn_send(w.reactor, id, GW_BINARY, (const uint8_t *)&round, sizeof round) == 0);
        const struct frame frame = client_read_frame(&w, fd, payload, sizeof payload);
        CHECK(frame.length == sizeof round && memcmp(payload, &round, sizeof round) == 0);
        CHECK(gw_conn_send(w.reactor, id, GW_BINARY, (const uint8_t *)"gone", 4) == 0);
        close(fd);
        if (round % 2 == 0) {
            CHECK(gw_conn_send(w.reactor, id, GW_BINARY, (const uint8_t *)"gone", 4) == 0);
        }
        CHECK(world_await(&w, GW_EVENT_CLOSED, round)->conn == id);
        former = id;
    }
    world_turn_for(&w, 20);
    CHECK(world_stats(&w).pool_bytes == 0);
    world_close(&w);
}

// More sends than the ring has requests, so that it goes around and is full.
static void sends__of_a_turn_may_be_more_than_the_ring_holds(void) {
    enum { MANY = 1300 };
    const struct gw_config config = config_of(MANY);
    static struct reader readers[MANY];
    struct world w;
    world_open(&w, &config);
    for (int i = 0; i < MANY; i++) {
        reader_open(&w, &readers[i]);
    }
    for (uint32_t round = 0; round < 4; round++) {
        for (uint32_t i = 0; i < MANY; i++) {
            send_one(&w, &readers[i], round * MANY + i);
        }
        for (uint32_t i = 0; i < MANY; i += 100) {
            send_one(&w, &readers[i], round * MANY + i + 7);
        }
        for (int i = 0; i < MANY; i++) {
            read_all(&w, &readers[i]);
        }
    }
    for (int i = 0; i < MANY; i++) {
        close(readers[i].fd);
    }
    world_turn_for(&w, 50);
    CHECK(world_stats(&w).pool_bytes == 0);
    world_close(&w);
}

static void send_to_all(struct world *w, struct reader *readers, uint32_t count, uint32_t number) {
    uint8_t payload[PAYLOAD_MAX];
    struct gw_frame *frame;
    CHECK(gw_frame_create(w->reactor, GW_BINARY, payload, message_of(number, payload), &frame) == 0);
    for (uint32_t to = 0; to < count; to++) {
        CHECK(gw_conn_send_frame(w->reactor, readers[to].id, frame) == 0);
        expect(&readers[to], number);
    }
    gw_frame_release(w->reactor, frame);
}

static uint32_t next_short(uint32_t number) {
    uint8_t payload[PAYLOAD_MAX];
    do {
        number++;
    } while (message_of(number, payload) > 125);
    return number;
}

// Where short messages need no buffer, several of a turn to one connection need none either, and make one send.
static void sends__of_a_turn_to_one_leave_as_one(void) {
    const struct gw_config config = config_of(CLIENTS);
    static struct reader readers[CLIENTS];
    struct world w;
    uint32_t number = 0;
    world_open(&w, &config);
    for (int i = 0; i < CLIENTS; i++) {
        reader_open(&w, &readers[i]);
    }
    world_turn(&w, 0);
    world_turn(&w, 0);
    CHECK(world_stats(&w).pool_bytes == 0);
    for (int round = 0; round < 3; round++) {
        const uint64_t before = world_stats(&w).bytes_out;
        uint64_t bytes = 0;
        for (int times = 0; times < 3; times++) {
            send_to_all(&w, readers, CLIENTS, number = next_short(number));
            send_one(&w, &readers[times], number = next_short(number));
            send_one(&w, &readers[times + 1], number = next_short(number));
            send_one(&w, &readers[times], number = next_short(number));
            send_to_all(&w, readers, 2, number = next_short(number));
        }
        if (!test_over_tls()) {
            CHECK(world_stats(&w).pool_bytes == 0);
            world_turn(&w, 0);
            uint8_t got[8 * PAYLOAD_MAX], payload[PAYLOAD_MAX];
            for (int i = 0; i < CLIENTS; i++) {
                uint64_t all = 0;
                for (uint32_t at = readers[i].first; at != readers[i].end; at++) {
                    const uint64_t length = message_of(readers[i].numbers[at % WAITING_MAX], payload);
                    all += length + (length < 126 ? 2 : 4);
                }
                CHECK(recv(readers[i].fd, got, sizeof got, MSG_PEEK | MSG_DONTWAIT) == (ssize_t)all);
                bytes += all;
            }
            CHECK(world_stats(&w).bytes_out == before + bytes);
        }
        for (int i = 0; i < CLIENTS; i++) {
            read_all(&w, &readers[i]);
        }
    }
    for (int i = 0; i < CLIENTS; i++) {
        close(readers[i].fd);
    }
    world_turn_for(&w, 20);
    CHECK(world_stats(&w).pool_bytes == 0);
    world_close(&w);
}

// Turns are counted in 16 bits: what was sent to a connection so many turns ago has left.
static void sends__know_the_turn_from_one_of_long_ago(void) {
    const struct gw_config config = config_of(2);
    static struct reader readers[2];
    struct world w;
    uint32_t number = 0;
    world_open(&w, &config);
    reader_open(&w, &readers[0]);
    reader_open(&w, &readers[1]);
    for (int distance = -3; distance <= 3; distance++) {
        send_to_all(&w, readers, 2, ++number);
        send_one(&w, &readers[0], ++number);
        read_all(&w, &readers[0]);
        read_all(&w, &readers[1]);
        for (int turn = 0; turn < 65536 + distance; turn++) {
            world_turn(&w, 0);
        }
        send_to_all(&w, readers, 2, ++number);
        send_one(&w, &readers[1], ++number);
        read_all(&w, &readers[0]);
        read_all(&w, &readers[1]);
    }
    close(readers[0].fd);
    close(readers[1].fd);
    world_turn_for(&w, 20);
    world_close(&w);
}

// The ring may fill up between two turns, and what it holds is submitted early: how those sends ended is not known yet when
// the next message to the same connection is queued.
static void sends__wait_for_those_that_were_submitted_early(void) {
    const struct gw_config config = config_of(2);
    static struct reader reader;
    struct world w;
    world_open(&w, &config);
    reader.fd = client_open_sized(&w, &reader.id, 4096);
    uint32_t number = 0, early = 0;
    const struct gw_conn *conn = &w.reactor->conns[(uint32_t)reader.id];
    do {
        send_one(&w, &reader, ++number);
        if (w.reactor->front->row_open && test_backend() == GW_BACKEND_IO_URING) {
            gw_writer_end(w.reactor);
            gw_uring_submit_early(gw_uring(w.reactor->io));
            early++;
        }
        send_one(&w, &reader, ++number);
        world_turn(&w, 0);
        world_turn(&w, 0);
        if (number % 1000 == 0 && number <= 8000) {
            read_all(&w, &reader);
        }
    } while (reader.end - reader.first < WAITING_MAX - 2 && !(conn->flags & GW_CONN_SENDING));
    CHECK(early == 0 || early > 100);
    read_all(&w, &reader);
    close(reader.fd);
    world_turn_for(&w, 20);
    CHECK(world_stats(&w).pool_bytes == 0);
    world_close(&w);
}

int main(void) {
    RUN(sends__of_a_turn_keep_their_order_whatever_they_are);
    RUN(sends__to_who_does_not_read_are_kept_in_order_until_the_queue_is_full);
    RUN(sends__of_a_turn_may_be_more_than_any_buffer_holds);
    RUN(sends__of_longer_messages_go_on_where_the_turn_has_no_more_room);
    RUN(sends__to_a_tiny_queue_are_counted_one_by_one);
    RUN(sends__before_a_close_arrive_before_it);
    RUN(sends__reach_no_later_owner_of_the_slot);
    RUN(sends__of_a_turn_to_one_leave_as_one);
    RUN_PLAIN(sends__wait_for_those_that_were_submitted_early);
    RUN_PLAIN(sends__know_the_turn_from_one_of_long_ago);
    RUN_PLAIN(sends__of_a_turn_may_be_more_than_the_ring_holds);
    return 0;
}
