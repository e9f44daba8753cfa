// What io_uring is asked at start, on this kernel and as an older one would answer; and a reactor whose ring may not be sent
// to in the short way: everything takes the queue.
#include "../../CSources/CReactor/gw_uring.h"
#include "gateway_client.h"
#include "gw_io_uring.h"
#include "gw_reactor.h"

enum { MESSAGES = 400, PAYLOAD_MAX = 20000 };

// Without MSG_WAITALL a part that was taken is a success, of which nothing is told: as on a kernel that loses it.
static void probe__sees_what_a_kernel_tells_and_what_it_hides(void) {
    CHECK(gw_uring_tells_what_it_took(MSG_NOSIGNAL | MSG_DONTWAIT) == 0);
    const int tells = gw_uring_tells_what_it_took(GW_SHORT_SEND_FLAGS);
    const struct gw_io_config config = { .sockets_max = 4, .receive_buffers = 4, .receive_buffer_bytes = 1024 };
    struct gw_io *io;
    CHECK(gw_io_uring_create(&config, &io) == 0);
    CHECK(gw_uring(io)->short_sends == tells);
    gw_io_destroy(io);
}

static void world_open_without_short_sends(struct world *w) {
    struct gw_config config;
    gw_config_init(&config);
    config.connections_max = 4;
    const struct gw_io_config io_config = {
        .sockets_max = config.connections_max, .receive_buffers = config.receive_buffers,
        .receive_buffer_bytes = config.receive_buffer_bytes,
    };
    struct gw_io *io;
    *w = (struct world){ .seen_max = MESSAGES * 2 };
    w->seen = calloc(w->seen_max, sizeof *w->seen);
    CHECK(gw_io_uring_create(&io_config, &io) == 0);
    gw_uring(io)->short_sends = 0;
    CHECK(gw_reactor_create_on(&config, io, &w->reactor) == 0);
    w->port = gw_reactor_listen(w->reactor, "127.0.0.1", 0, 0);
    CHECK(w->port > 0);
}

static uint64_t message_of(uint32_t number, uint8_t *payload) {
    uint64_t random = number + 1;
    const uint64_t length = test_random(&random) % (number % 9 == 0 ? PAYLOAD_MAX : 300);
    for (uint64_t i = 0; i < length; i++) {
        payload[i] = (uint8_t)test_random(&random);
    }
    return length;
}

static void without_short_sends__everything_is_queued_and_arrives_in_order(void) {
    static uint8_t payload[PAYLOAD_MAX], wanted[PAYLOAD_MAX];
    struct world w;
    gw_conn_id id;
    world_open_without_short_sends(&w);
    const struct gw_uring_front *front = w.reactor->front;
    const uint16_t epoch = front->epoch;
    const int fd = client_open(&w, &id);
    for (uint32_t number = 0; number < MESSAGES; number++) {
        const uint64_t length = message_of(number, payload);
        if (number % 5 == 0) {
            struct gw_frame *frame;
            CHECK(gw_frame_create(w.reactor, GW_BINARY, payload, length, &frame) == 0);
            CHECK(gw_conn_send_frame(w.reactor, id, frame) == 0);
            gw_frame_release(w.reactor, frame);
        } else {
            CHECK(gw_conn_send(w.reactor, id, GW_BINARY, payload, length) == 0);
        }
        CHECK(!front->row_open && front->epoch == epoch);
        if (number % 7 == 0) {
            world_turn(&w, 0);
        }
    }
    for (uint32_t number = 0; number < MESSAGES; number++) {
        const uint64_t length = message_of(number, wanted);
        const struct frame frame = client_read_frame(&w, fd, payload, sizeof payload);
        CHECK(frame.first == 0x82 && frame.length == length && memcmp(payload, wanted, length) == 0);
    }
    close(fd);
    world_turn_for(&w, 20);
    CHECK(world_stats(&w).pool_bytes == 0 && world_stats(&w).connections == 0);
    world_close(&w);
}

int main(void) {
    RUN(probe__sees_what_a_kernel_tells_and_what_it_hides);
    RUN(without_short_sends__everything_is_queued_and_arrives_in_order);
    return 0;
}
