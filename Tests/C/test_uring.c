// What only the io_uring backend promises, seen from its inside: the ring refuses requests that the backend never makes,
// completions that overflow the queue are not lost, and as many receive buffers have memory as the traffic needs.
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../CSources/CReactor/gw_uring.h"
#include "gw_io_uring.h"
#include "test.h"

enum { CLIENTS = 300, BUFFERS = 512, BUFFERS_FIRST = 64, BUFFER_BYTES = 4096 + 64 };

static struct gw_io_uring *uring_open(uint32_t sockets, uint32_t buffers) {
    const struct gw_io_config config = {
        .sockets_max = sockets, .receive_buffers = buffers, .receive_buffer_bytes = BUFFER_BYTES,
    };
    struct gw_io *io = NULL;
    const int created = gw_io_uring_create(&config, &io);
    if (created == -EPERM || created == -ENOSYS) {
        return NULL;
    }
    CHECK(created == 0);
    struct gw_io_event events[8];
    CHECK(gw_io_turn(io, 0, events, 8) == 0);
    return gw_uring(io);
}

// Submits what prepare wrote and returns its result.
static int uring_result(struct gw_io_uring *u, void (*prepare)(struct io_uring_sqe *sqe)) {
    struct io_uring_sqe *sqe = gw_uring_sqe(u);
    prepare(sqe);
    sqe->user_data = 42;
    gw_uring_submit_early(u);
    for (;;) {
        struct io_uring_cqe *cqe;
        CHECK(io_uring_wait_cqe(&u->ring, &cqe) == 0);
        const uint64_t data = cqe->user_data;
        const int result = cqe->res;
        io_uring_cqe_seen(&u->ring, cqe);
        if (data == 42) {
            return result;
        }
    }
}

static void open_a_file(struct io_uring_sqe *sqe) { io_uring_prep_openat(sqe, -1, "/etc/hostname", 0, 0); }
static void sync_a_file(struct io_uring_sqe *sqe) { io_uring_prep_fsync(sqe, 0, 0); }
static void do_nothing(struct io_uring_sqe *sqe) { io_uring_prep_nop(sqe); }
static void in_a_worker(struct io_uring_sqe *sqe) {
    io_uring_prep_cancel64(sqe, 7, 0);
    sqe->flags |= IOSQE_ASYNC;
}
static void cancel_nothing(struct io_uring_sqe *sqe) { io_uring_prep_cancel64(sqe, 7, 0); }

static void ring__refuses_what_the_backend_never_asks(void) {
    struct gw_io_uring *u = uring_open(8, 8);
    if (u == NULL) {
        return;
    }
    CHECK(uring_result(u, open_a_file) == -EACCES);
    CHECK(uring_result(u, sync_a_file) == -EACCES);
    CHECK(uring_result(u, do_nothing) == 0);
    CHECK(uring_result(u, in_a_worker) == -EACCES);
    CHECK(uring_result(u, cancel_nothing) == -ENOENT);
    int files[2] = { -1, -1 };
    CHECK(io_uring_register_eventfd(&u->ring, 0) == -EACCES);
    CHECK(io_uring_register_files_update(&u->ring, 0, files, 2) == -EACCES);
    gw_io_destroy(&u->io);
}

// More completions than the queue holds wait in the kernel; turns bring every one of them in.
static void ring__overflow_loses_no_completion(void) {
    struct gw_io_uring *u = uring_open(8, 8);
    if (u == NULL) {
        return;
    }
    const unsigned total = u->ring.cq.ring_entries + 1000;
    for (unsigned i = 0; i < total; i++) {
        cancel_nothing(gw_uring_sqe(u));
        struct io_uring_sqe *last = &u->ring.sq.sqes[(u->ring.sq.sqe_tail - 1) & u->ring.sq.ring_mask];
        last->user_data = gw_request_pack(GW_QUIET, 0, 0);
        if (io_uring_sq_space_left(&u->ring) == 0) {
            gw_uring_submit_early(u);
        }
    }
    gw_uring_submit_early(u);
    CHECK(*u->ring.sq.kflags & IORING_SQ_CQ_OVERFLOW);
    const unsigned before = *u->ring.cq.khead;
    struct gw_io_event events[8];
    for (int turns = 0; turns < 16 && *u->ring.cq.khead - before < total; turns++) {
        CHECK(gw_io_turn(&u->io, 0, events, 8) == 0);
    }
    CHECK(*u->ring.cq.khead - before == total);
    CHECK(!(*u->ring.sq.kflags & IORING_SQ_CQ_OVERFLOW));
    gw_io_destroy(&u->io);
}

struct crowd {
    struct gw_io_uring *u;
    int clients[CLIENTS];
    uint32_t held[BUFFERS];
    unsigned held_count, accepted, received;
};

static void crowd_turn(struct crowd *c) {
    struct gw_io_event events[64];
    const int count = gw_io_turn(&c->u->io, 1000000, events, 64);
    CHECK(count >= 0);
    for (int i = 0; i < count; i++) {
        if (events[i].kind == GW_IO_ACCEPTED) {
            c->accepted++;
            gw_io_receive_start(&c->u->io, events[i].socket);
        } else if (events[i].kind == GW_IO_RECEIVED) {
            CHECK(events[i].bytes == 1 && events[i].data[0] == 'x' && c->held_count < BUFFERS);
            c->held[c->held_count++] = events[i].buffer;
            c->received++;
        }
    }
}

static int crowd_open(struct crowd *c) {
    *c = (struct crowd){ .u = uring_open(CLIENTS + 1, BUFFERS) };
    if (c->u == NULL) {
        return 0;
    }
    const int port = gw_io_listen(&c->u->io, "127.0.0.1", 0, 0);
    CHECK(port > 0);
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    for (unsigned i = 0; i < CLIENTS; i++) {
        CHECK((c->clients[i] = socket(AF_INET, SOCK_STREAM, 0)) >= 0);
        CHECK(connect(c->clients[i], (struct sockaddr *)&address, sizeof address) == 0);
        while (c->accepted <= i) {
            crowd_turn(c);
        }
    }
    return 1;
}

static void crowd_give_back(struct crowd *c) {
    gw_io_buffers_return(&c->u->io, c->held, c->held_count);
    c->held_count = 0;
}

// The first so many send a byte each, and nobody's buffer is given back before all are there.
static void crowd_sends(struct crowd *c, unsigned count) {
    const unsigned before = c->received;
    for (unsigned i = 0; i < count; i++) {
        CHECK(write(c->clients[i], "x", 1) == 1);
    }
    while (c->received < before + count) {
        crowd_turn(c);
    }
    CHECK(c->held_count == count);
    crowd_give_back(c);
}

// A look at the clock comes by turns; make the latest one long ago.
static void crowd_stays_quiet(struct crowd *c) {
    c->u->buffers_busy_ms = 0;
    c->u->buffers_turns = 1;
    crowd_sends(c, 1);
}

static void crowd_close(struct crowd *c) {
    for (unsigned i = 0; i < CLIENTS; i++) {
        close(c->clients[i]);
    }
    gw_io_destroy(&c->u->io);
}

// Sends so many bytes to the first client's socket, which is 0. What the kernel says: -1 is nothing.
static int32_t crowd_send_short(struct crowd *c, const uint8_t *bytes, uint32_t length) {
    struct gw_uring_front *front = &c->u->front;
    CHECK(front->row_open && gw_uring_wrap_row(front));
    gw_uring_send_short(front, 0, bytes)->len = length;
    CHECK(gw_uring_begin(&c->u->io, 0) == 0 && !front->row_open);
    int32_t result = -1;
    const unsigned end = *front->tail;
    for (unsigned at = *front->head; at != end; at++) {
        const struct io_uring_cqe *cqe = &front->completions[at & front->mask];
        if (gw_request_kind(cqe->user_data) == GW_SEND_SHORT) {
            CHECK(gw_request_socket(cqe->user_data) == 0 && result == -1);
            CHECK(gw_request_offset(cqe->user_data, bytes) == 0);
            result = cqe->res;
        }
    }
    gw_uring_end(&c->u->io, end);
    return result;
}

// What short sends rest on: the kernel says nothing when it took all, and never less than what it took.
static void ring__short_sends_tell_what_was_not_taken(void) {
    struct crowd c;
    if (!crowd_open(&c)) {
        return;
    }
    enum { BYTES = 16 << 20 };
    uint8_t *bytes = malloc(BYTES), *got = malloc(BYTES);
    CHECK(bytes != NULL && got != NULL);
    uint64_t random = 9;
    for (size_t at = 0; at < BYTES; at++) {
        bytes[at] = (uint8_t)test_random(&random);
    }
    CHECK(crowd_send_short(&c, bytes, 1000) == -1);
    int32_t result = crowd_send_short(&c, bytes + 1000, BYTES - 1000);
    CHECK(result > 0 && result < BYTES - 1000);
    const size_t sent = 1000 + (size_t)result;
    result = crowd_send_short(&c, bytes + sent, BYTES - (uint32_t)sent);
    CHECK(result > 0 || result == -EAGAIN);   // the client's window may have grown a little meanwhile
    const size_t all = sent + (result > 0 ? (size_t)result : 0);
    for (size_t read_bytes = 0; read_bytes < all;) {
        const ssize_t some = read(c.clients[0], got + read_bytes, all - read_bytes);
        CHECK(some > 0);
        read_bytes += (size_t)some;
    }
    CHECK(memcmp(got, bytes, all) == 0);
    CHECK(recv(c.clients[0], got, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    CHECK(crowd_send_short(&c, bytes, 1000) == -1);
    free(bytes);
    free(got);
    crowd_close(&c);
}

static void ring__row_goes_around_and_is_recalled(void) {
    struct crowd c;
    if (!crowd_open(&c)) {
        return;
    }
    struct gw_uring_front *front = &c.u->front;
    const uint8_t bytes[2] = { 'a', 'b' };
    CHECK(front->row_open);
    unsigned written = 0;
    struct io_uring_sqe *last = NULL;
    while (gw_uring_wrap_row(front)) {
        last = gw_uring_send_short(front, written % 2, &bytes[written % 2]);
        last->len = 1;
        written++;
    }
    CHECK(written >= front->requests_count - 8);   // but for what the backend wants of its own
    const uint32_t low = (uint32_t)(uintptr_t)last, socket = (uint32_t)last->fd;
    CHECK(gw_uring_find_short(front, socket, low) == last);
    CHECK(gw_uring_find_short(front, socket ^ 1, low) == NULL && gw_uring_find_short(front, socket, 12345) == NULL);
    gw_uring_recall(last);
    CHECK(gw_uring_find_short(front, socket, low) == NULL);
    const uint16_t epoch = front->epoch;
    gw_uring_submit_early(c.u);
    CHECK(!front->row_open && gw_uring_row_is_full(front) && gw_uring_find_short(front, 0, low) == NULL);
    crowd_turn(&c);
    CHECK(front->row_open && front->epoch != epoch);
    for (unsigned client = 0; client < 2; client++) {
        const unsigned wanted = (written + 1 - client) / 2 - (client == socket);
        char got[4096];
        for (unsigned arrived = 0; arrived < wanted;) {
            const ssize_t some = read(c.clients[client], got, sizeof got);
            CHECK(some > 0 && got[0] == (char)bytes[client]);
            arrived += (unsigned)some;
            CHECK(arrived <= wanted);
        }
        CHECK(recv(c.clients[client], got, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
    }
    crowd_close(&c);
}

static unsigned resident_pages(const struct gw_io_uring *u) {
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = ((size_t)BUFFERS * BUFFER_BYTES + page - 1) / page;
    unsigned char *in_memory = malloc(pages);
    CHECK(in_memory != NULL && mincore(u->io.receive_memory, pages * page, in_memory) == 0);
    unsigned count = 0;
    for (size_t i = 0; i < pages; i++) {
        count += in_memory[i] & 1;
    }
    free(in_memory);
    return count;
}

static void buffers__of_an_idle_crowd_are_few(void) {
    struct crowd c;
    if (!crowd_open(&c)) {
        return;
    }
    for (unsigned i = 0; i < 4 * BUFFERS; i++) {
        crowd_sends(&c, 1);
    }
    CHECK(c.u->buffers_limit == BUFFERS_FIRST && c.u->idle_count == BUFFERS - BUFFERS_FIRST);
    CHECK(resident_pages(c.u) <= 2 * BUFFERS_FIRST);
    crowd_close(&c);
}

// Seen in time: nobody finds the ring empty while it grows by what a turn left.
static void buffers__grow_before_anybody_starves(void) {
    struct crowd c;
    if (!crowd_open(&c)) {
        return;
    }
    for (unsigned sent = 0; sent < CLIENTS; sent += 15) {
        for (unsigned i = sent; i < sent + 15; i++) {
            CHECK(write(c.clients[i], "x", 1) == 1);
        }
        while (c.received < sent + 15) {
            crowd_turn(&c);
        }
    }
    struct gw_io_stats stats;
    gw_io_read_stats(&c.u->io, &stats);
    CHECK(stats.receive_starved == 0 && c.u->buffers_limit == BUFFERS && c.u->idle_count == 0);
    CHECK(c.u->front.buffers_free == BUFFERS - CLIENTS);
    crowd_give_back(&c);
    CHECK(c.u->front.buffers_free == BUFFERS);
    crowd_close(&c);
}

// Whether a burst is seen in time is the kernel's choice; here nobody looks.
static void buffers__come_from_the_idle_when_somebody_starves(void) {
    struct crowd c;
    if (!crowd_open(&c)) {
        return;
    }
    c.u->buffers_low = 0;
    for (unsigned i = 0; i < CLIENTS; i++) {
        CHECK(write(c.clients[i], "x", 1) == 1);
    }
    while (c.u->stats.receive_starved == 0) {
        crowd_turn(&c);
    }
    CHECK(c.received == BUFFERS_FIRST && c.u->buffers_limit == BUFFERS_FIRST);
    while (c.received < CLIENTS) {
        crowd_turn(&c);
    }
    CHECK(c.u->buffers_limit == BUFFERS && c.u->front.buffers_free == BUFFERS - CLIENTS);
    crowd_give_back(&c);
    const uint64_t starved = c.u->stats.receive_starved;
    crowd_sends(&c, CLIENTS);
    CHECK(c.u->stats.receive_starved == starved);
    crowd_close(&c);
}

static void buffers__grow_with_a_burst_and_lose_their_memory_when_it_is_long_over(void) {
    struct crowd c;
    if (!crowd_open(&c)) {
        return;
    }
    for (int bursts = 0; bursts < 3; bursts++) {
        crowd_sends(&c, CLIENTS);
        CHECK(c.u->buffers_limit == BUFFERS && c.u->idle_count == 0 && c.u->front.buffers_free == BUFFERS);
        crowd_stays_quiet(&c);   // a look that still finds the bursts
        CHECK(c.u->buffers_limit == BUFFERS);
        crowd_stays_quiet(&c);
        CHECK(c.u->buffers_limit == BUFFERS / 2 && c.u->buffers_retiring);
        crowd_sends(&c, CLIENTS / 2);
        for (unsigned i = 0; i < 4 * BUFFERS; i++) {
            crowd_stays_quiet(&c);
        }
        CHECK(c.u->buffers_limit == BUFFERS_FIRST && !c.u->buffers_retiring);
        CHECK(c.u->idle_count == BUFFERS - BUFFERS_FIRST && c.u->front.buffers_free == BUFFERS_FIRST);
        CHECK(resident_pages(c.u) <= 2 * BUFFERS_FIRST);
    }
    crowd_close(&c);
}

int main(void) {
    RUN(ring__refuses_what_the_backend_never_asks);
    RUN(ring__overflow_loses_no_completion);
    RUN(ring__short_sends_tell_what_was_not_taken);
    RUN(ring__row_goes_around_and_is_recalled);
    RUN(buffers__of_an_idle_crowd_are_few);
    RUN(buffers__grow_before_anybody_starves);
    RUN(buffers__come_from_the_idle_when_somebody_starves);
    RUN(buffers__grow_with_a_burst_and_lose_their_memory_when_it_is_long_over);
    return 0;
}
