// Receives that fill several buffers with one completion, on the io_uring backend and a kernel that has them: the parts
// come in their order, across turns that take few events, and every buffer goes back, whatever becomes of the socket.
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../CSources/CReactor/gw_uring.h"
#include "gw_io_uring.h"
#include "test.h"

enum { BUFFERS = 64, BUFFER_BYTES = 64, SENT_BYTES = 20 * BUFFER_BYTES + 5 };

struct pair {
    struct gw_io_uring *u;
    int client;
    uint32_t socket;
    unsigned received;          // bytes
    unsigned parts, completions, closed;
};

static uint8_t pattern(unsigned at) { return (uint8_t)(at * 7 + at / 251); }

// One turn with room for so many events; what was received is checked and given back.
static void pair_turn(struct pair *p, unsigned capacity) {
    struct gw_io_event events[8];
    const unsigned before = *p->u->ring.cq.khead;
    const int count = gw_io_turn(&p->u->io, 1000000, events, capacity);
    CHECK(count >= 0 && (unsigned)count <= capacity);
    p->completions += *p->u->ring.cq.khead - before;
    for (int i = 0; i < count; i++) {
        if (events[i].kind == GW_IO_ACCEPTED) {
            p->socket = events[i].socket;
        } else if (events[i].kind == GW_IO_CLOSED) {
            p->closed++;
        } else if (events[i].kind == GW_IO_RECEIVED) {
            CHECK(events[i].bytes >= 1 && events[i].bytes <= BUFFER_BYTES);
            CHECK(events[i].data == p->u->io.receive_memory + events[i].buffer * BUFFER_BYTES);
            for (unsigned at = 0; at < events[i].bytes; at++) {
                CHECK(events[i].data[at] == pattern(p->received + at));
            }
            p->received += events[i].bytes;
            p->parts++;
            gw_io_buffers_return(&p->u->io, &events[i].buffer, 1);
        }
    }
}

// 0: no io_uring, or none with bundles.
static int pair_open(struct pair *p) {
    const struct gw_io_config config = { .sockets_max = 8, .receive_buffers = BUFFERS,
                                         .receive_buffer_bytes = BUFFER_BYTES };
    *p = (struct pair){ .socket = GW_NO_SOCKET };
    struct gw_io *io = NULL;
    const int created = gw_io_uring_create(&config, &io);
    if (created == -EPERM || created == -ENOSYS) {
        return 0;
    }
    CHECK(created == 0);
    p->u = gw_uring(io);
    const int port = gw_io_listen(io, "127.0.0.1", 0, 0);
    CHECK(port > 0);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    CHECK((p->client = socket(AF_INET, SOCK_STREAM, 0)) >= 0);
    CHECK(connect(p->client, (struct sockaddr *)&address, sizeof address) == 0);
    while (p->socket == GW_NO_SOCKET) {
        pair_turn(p, 8);
    }
    // All of it is there before the first receive.
    uint8_t bytes[SENT_BYTES];
    for (unsigned i = 0; i < SENT_BYTES; i++) {
        bytes[i] = pattern(i);
    }
    CHECK(write(p->client, bytes, SENT_BYTES) == SENT_BYTES);
    p->completions = 0;
    gw_io_receive_start(io, p->socket);
    return 1;
}

static void pair_close(struct pair *p) {
    close(p->client);
    gw_io_destroy(&p->u->io);
}

static void bundle__is_one_completion_and_its_parts_come_in_order(void) {
    struct pair p;
    if (!pair_open(&p)) {
        return;
    }
    while (p.received < SENT_BYTES) {
        pair_turn(&p, 8);
    }
    CHECK(p.parts >= (SENT_BYTES + BUFFER_BYTES - 1) / BUFFER_BYTES);
    CHECK(!p.u->bundles || p.completions < p.parts / 4);
    CHECK(p.u->front.buffers_free == BUFFERS);
    pair_close(&p);
}

static void bundle__waits_for_turns_that_take_few_events(void) {
    struct pair p;
    if (!pair_open(&p)) {
        return;
    }
    for (unsigned turns = 0; p.received < SENT_BYTES; turns++) {
        pair_turn(&p, 2);
        CHECK(p.parts <= turns + 1);
    }
    CHECK(p.u->bundle_taken == 0 && p.u->front.buffers_free == BUFFERS);
    pair_close(&p);
}

static void bundle__of_a_socket_that_is_closed_gives_its_buffers_back(void) {
    struct pair p;
    if (!pair_open(&p)) {
        return;
    }
    pair_turn(&p, 2);
    gw_io_close(&p.u->io, p.socket);
    while (p.closed == 0) {
        pair_turn(&p, 2);
    }
    CHECK(p.parts == 1 && p.u->bundle_taken == 0 && p.u->front.buffers_free == BUFFERS);
    pair_close(&p);
}

int main(void) {
    RUN(bundle__is_one_completion_and_its_parts_come_in_order);
    RUN(bundle__waits_for_turns_that_take_few_events);
    RUN(bundle__of_a_socket_that_is_closed_gives_its_buffers_back);
    return 0;
}
