// The gateway's core over the simulated network: a seed makes a run, and a run holds what the core promises.
//
//     simulate                     the numbers of seeds it was built for (SEEDS; SECURE_SEEDS over TLS), from 1
//     simulate [--tls] --seeds FROM COUNT
//     simulate [--tls] --seed N    one, and says what happened in it
//
// In every run an id's events come in order and never after its end; a message is seen once, whole, in its place;
// echoes, frames and pongs come back so too; a send is told to its connection once, which the core asserts
// (gw_conn_sent); in the end no connection, buffer or lease is left. In a calm run, in
// which no one is cut short, every message is answered, whatever the order in which things complete.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "gw_reactor.h"
#include "sim_client.h"

enum { CLIENTS = 6, RECORDS_MAX = 512, STEPS = 500, SETTLE_TURNS = 20000, HOARD_MAX = 512 };

struct run {
    struct gw_reactor *reactor;
    uint64_t random;
    int calm, noisy, hoarding, deflates, has_rings;
    struct gw_io *layer;                       // TLS; NULL: there is none
    uint32_t records_count, announced;
    uint32_t share;                            // of a peer: connections not trusted; 0: any number
    uint32_t share_of_all;                     // and of all together
    uint8_t trusted[SIM_SOCKETS_MAX];          // by slot
    gw_conn_id open[SIM_SOCKETS_MAX];          // by slot; 0: none
    gw_conn_id former[SIM_SOCKETS_MAX];        // the one before
    struct sim_record *owner[SIM_SOCKETS_MAX];
    struct gw_payload *lease;                  // at most one, held over turns
    uint8_t lease_bytes[SIM_MESSAGE_BYTES_MAX];
    const uint8_t *lease_data;
    uint64_t lease_length;
    struct gw_frame *hoard[HOARD_MAX];         // frames that leave the others no buffer
    uint32_t hoard_count;
    struct sim_record records[RECORDS_MAX];
    struct sim_client clients[CLIENTS];
};

struct totals {
    uint64_t messages, echoes, parted, starved, closed, turns, leases, refused, fanned_out, inflated,
        short_sends, short_sends_refused, recalled;
    uint64_t closed_while_sending, peers_refused;
};

static struct sim_io sim;
static struct run run;
static struct totals totals;
static uint64_t seed_now;
static int secure_now;

// What is called when anything aborts: a check, an assertion of the core, a sanitizer.
static void say_seed(int signal_number) {
    char line[128];
    const int length = snprintf(line, sizeof line, "seed %llu failed: Tests/Simulation/run %s--seed %llu\n",
                                (unsigned long long)seed_now, secure_now ? "--tls " : "", (unsigned long long)seed_now);
    if (write(STDERR_FILENO, line, (size_t)length) < 0) {
        _exit(1);
    }
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "abort_on_error=1:handle_segv=0:handle_abort=0"; }
const char *__ubsan_default_options(void);
const char *__ubsan_default_options(void) { return "abort_on_error=1:print_stacktrace=1"; }

// The server's side: what a handler would do with events, with each of them held against what came before.

static void server_echo(const struct gw_event *event, struct sim_record *record) {
    int error;
    struct gw_frame *frame;
    const uint32_t way = sim_below(&run.random, 4);
    if (way == 0) {
        error = gw_frame_create(run.reactor, (enum gw_opcode)event->opcode, event->data, event->length, &frame);
        if (error == 0) {
            error = gw_conn_send_frame(run.reactor, event->conn, frame);
            gw_frame_release(run.reactor, frame);
        }
    } else if (way < 3) {
        error = gw_conn_forward(run.reactor, event->conn, event);
    } else {
        error = gw_conn_send(run.reactor, event->conn, (enum gw_opcode)event->opcode, event->data, event->length);
    }
    // ENOCONN: its end is told later in this batch. Who only echoes never meets EFULL.
    CHECK(error == 0 || error == GW_ENOBUFS || error == GW_ECLOSING || error == GW_ENOCONN
          || (error == GW_EFULL && run.noisy));
    CHECK(error == 0 || !run.calm || error == GW_ECLOSING);
    CHECK(error != GW_ENOBUFS || run.hoarding || run.noisy);
    record->echoed += error == 0;
    totals.refused += error == GW_ENOBUFS;
    if (error == GW_ENOBUFS || error == GW_EFULL) {
        // What was not queued can't be made up for: later echoes would be out of place.
        const int closed = gw_conn_close(run.reactor, event->conn, 4000, "lost");
        CHECK(closed == 0 || closed == GW_ENOCONN);
        record->clean = 0;
    }
}

static void server_lease(const struct gw_event *event) {
    if (run.lease == NULL && event->length > 0 && sim_below(&run.random, 8) == 0) {
        run.lease = gw_payload_acquire(run.reactor, event);
        run.lease_data = event->data;
        run.lease_length = event->length;
        memcpy(run.lease_bytes, event->data, event->length);
        totals.leases += run.lease != NULL;
    }
}

static void server_end_lease(void) {
    if (run.lease != NULL) {
        CHECK(memcmp(run.lease_bytes, run.lease_data, run.lease_length) == 0);
        gw_payload_release(run.reactor, run.lease);
        run.lease = NULL;
    }
}

static void server_message(const struct gw_event *event, struct sim_record *record) {
    const uint32_t client = (uint32_t)(record - run.records);
    uint8_t expected[SIM_MESSAGE_BYTES_MAX];
    totals.messages++;
    if (record->seen < record->sent) {
        // Garbage may be a frame, and all that follows it; only a clean client is held to its words.
        const uint32_t length = sim_message(client, record->seen, expected);
        const int same = event->length == length && memcmp(event->data, expected, length) == 0
                      && event->opcode == sim_message_opcode(record->seen);
        CHECK(same || !record->clean);
        if (same) {
            record->seen++;
            server_lease(event);
            server_echo(event, record);
        }
        return;
    }
    CHECK(!record->clean);
}

static uint32_t slot_peer(uint32_t slot) { return sim.wires[sim.sockets[slot].wire].peer; }

// No peer ever has more connections that nobody trusts than its share, nor have all more than theirs. (One that was displaced
// may be told as opened, and its end after that.)
static void server_opened(uint32_t slot) {
    uint32_t untrusted = 0, of_all = 0;
    for (uint32_t other = 0; other < sim.sockets_max; other++) {
        const int counts = run.open[other] != 0 && !run.trusted[other] && gw_conn_peer(run.reactor, run.open[other]) != 0;
        of_all += (uint32_t)counts;
        untrusted += counts && slot_peer(other) == slot_peer(slot);
    }
    CHECK(run.share == 0 || untrusted <= run.share);
    CHECK(run.share_of_all == 0 || of_all <= run.share_of_all);
    if (sim_below(&run.random, 2)) {
        const int error = gw_conn_trust(run.reactor, run.open[slot]);
        CHECK(error == 0 || error == GW_ENOCONN);   // its end is told later in this batch
        run.trusted[slot] = error == 0;
    }
}

static void server_event(const struct gw_event *event) {
    const uint32_t slot = (uint32_t)event->conn;
    CHECK(slot < sim.sockets_max);
    CHECK(event->kind == GW_EVENT_OPENED ? run.open[slot] == 0 : run.open[slot] == event->conn);
    struct sim_record *record = run.owner[slot];
    switch (event->kind) {
    case GW_EVENT_OPENED: {
        char number[16] = { 0 };
        CHECK(event->length > 0 && event->length < sizeof number);
        memcpy(number, event->data, event->length);
        record = run.owner[slot] = &run.records[atoi(number)];
        CHECK(record < run.records + run.records_count && !record->opened);
        record->opened = 1;
        run.open[slot] = event->conn;
        // The slot is another's now, and the former owner's id must not reach it.
        CHECK(event->conn != run.former[slot]);
        CHECK(gw_conn_close(run.reactor, run.former[slot], 1000, NULL) == GW_ENOCONN);
        run.trusted[slot] = 0;
        server_opened(slot);
        break;
    }
    case GW_EVENT_CLOSED:
        CHECK(record->opened && !record->closed);
        CHECK(gw_conn_send(run.reactor, event->conn, GW_TEXT, NULL, 0) == GW_ENOCONN);
        CHECK(gw_conn_close(run.reactor, event->conn, 1000, NULL) == GW_ENOCONN);
        record->closed = 1;
        run.former[slot] = event->conn;
        run.open[slot] = 0;
        totals.closed++;
        break;
    case GW_EVENT_MESSAGE:
        server_message(event, record);
        break;
    default:
        CHECK(event->kind == GW_EVENT_WRITABLE && (run.noisy || run.hoarding));
    }
}

// Sends unasked: to one connection by copy, to all by one shared frame.
static void server_make_noise(void) {
    char payload[1500];
    memset(payload, 'z', sizeof payload);
    const uint32_t slot = sim_below(&run.random, sim.sockets_max);
    if (run.open[slot] != 0 && run.owner[slot]->clean) {
        (void)snprintf(payload, sizeof payload, "#%08x", run.owner[slot]->pushed);
        payload[9] = 'z';
        const int error = gw_conn_send(run.reactor, run.open[slot], GW_TEXT, (const uint8_t *)payload,
                                       10 + sim_below(&run.random, 1000));
        run.owner[slot]->pushed += error == 0;
    }
    struct gw_frame *frame;
    (void)snprintf(payload, sizeof payload, "@%08x", ++run.announced);
    payload[9] = 'z';
    if (gw_frame_create(run.reactor, GW_BINARY, (const uint8_t *)payload, 10 + sim_below(&run.random, 1400), &frame)
        != 0) {
        return;
    }
    for (uint32_t to = 0; to < sim.sockets_max; to++) {
        if (run.open[to] != 0) {
            const int queued = gw_conn_send_frame(run.reactor, run.open[to], frame) == 0;
            run.owner[to]->announced += (uint32_t)queued;
            totals.fanned_out += (uint64_t)queued;
        }
    }
    gw_frame_release(run.reactor, frame);
}

// Takes all buffers that the pool still has, or gives back those it took.
static void server_hoard(void) {
    static const uint8_t nothing[SIM_MESSAGE_BYTES_MAX];
    if (run.hoard_count > 0) {
        while (run.hoard_count > 0) {
            gw_frame_release(run.reactor, run.hoard[--run.hoard_count]);
        }
        return;
    }
    for (uint64_t length = SIM_MESSAGE_BYTES_MAX; run.hoard_count < HOARD_MAX;) {
        struct gw_frame **frame = &run.hoard[run.hoard_count];
        if (gw_frame_create(run.reactor, GW_TEXT, nothing, length, frame) == 0) {
            run.hoard_count++;
        } else if (length > 0) {
            length = 0;   // what is left are smaller ones
        } else {
            return;
        }
    }
}

static void server_turn(uint64_t timeout_ns) {
    const struct gw_event *events;
    const int count = gw_reactor_turn(run.reactor, timeout_ns, &events);
    CHECK(count >= 0);
    for (int i = 0; i < count; i++) {
        server_event(&events[i]);
    }
    if (run.noisy && sim_below(&run.random, 8) == 0) {
        server_make_noise();
    }
    if (!run.calm && sim_below(&run.random, 100) == 0) {
        const uint32_t slot = sim_below(&run.random, sim.sockets_max);
        if (run.open[slot] != 0) {
            CHECK(gw_conn_close(run.reactor, run.open[slot], 4001, "enough") == 0);
            run.owner[slot]->clean = 0;
        }
    }
    if (run.hoarding && sim_below(&run.random, 30) == 0) {
        server_hoard();
    }
    if (run.layer != NULL && run.hoarding && sim_below(&run.random, 30) == 0) {
        sim_tls_hoard(run.layer);
    }
    if (sim_below(&run.random, 10) == 0) {
        server_end_lease();
    }
    totals.turns++;
}

// A run.

static uint32_t among(uint32_t low, uint32_t high) { return low + sim_below(&run.random, high - low + 1); }

static void run_open(void) {
    struct gw_config config;
    gw_config_init(&config);
    config.connections_max = among(1, SIM_SOCKETS_MAX);
    config.message_bytes_max = SIM_MESSAGE_BYTES_MAX;
    config.fragments_max = 4;
    config.outbound_bytes_max = 1024u << among(0, 5);
    config.pool_bytes_max = run.calm || run.deflates ? 4 << 20 : 128 << 10;
    config.deflate = (uint8_t)run.deflates;
    config.receive_buffers = 1u << among(0, 4);
    config.receive_buffer_bytes = 64 * among(1, 8);
    config.batch_events_max = among(1, 16);
    if (!run.calm) {
        config.handshake_ms = among(20, 1000);
        config.idle_ms = among(0, 1) * among(50, 1000);
        config.write_stall_ms = among(50, 1000);
        config.close_ms = among(20, 200);
        config.untrusted_per_peer_max = run.share = among(0, 1) * among(1, 3);
        config.untrusted_max = run.share_of_all = run.share == 0 ? 0 : among(0, 1) * among(1, config.connections_max);
    }
    const struct gw_io_config io = { .sockets_max = config.connections_max,
                                     .receive_buffers = config.receive_buffers,
                                     .receive_buffer_bytes = config.receive_buffer_bytes };
    CHECK(gw_config_check(&config) == 0);
    sim_io_init(&sim, &io, test_random(&run.random) | 1);
    sim.busy_percent = among(5, 100);
    sim.accept_fails_in_1000 = among(0, 1) * among(1, 300);
    sim.send_fails_in_1000 = run.calm ? 0 : among(0, 20);
    if (secure_now) {
        sim_tls_seed(seed_now);
        run.layer = sim_tls_layer(&sim, !run.calm);
    }
    if (run.has_rings && !secure_now) {
        sim_offer_rings(&sim);
    }
    CHECK(gw_reactor_create_on(&config, secure_now ? run.layer : &sim.io, &run.reactor) == 0);
    run.reactor->forward_bytes_min = 1u << among(0, 12);
    CHECK(gw_reactor_listen(run.reactor, "sim", 1, 0) == 1);
}

static void clients_act(int talk) {
    struct sim_client *client = &run.clients[sim_below(&run.random, CLIENTS)];
    if (client->wire != SIM_NONE) {
        sim_client_act(client, &sim, talk, &run.random);
    } else if (talk && run.records_count < RECORDS_MAX && sim_below(&run.random, 8) == 0) {
        const uint32_t number = run.records_count++;
        client->calm = (uint8_t)run.calm;
        client->deflates = (uint8_t)run.deflates;
        client->secure = (uint8_t)secure_now;
        sim_client_start(client, &sim, &run.records[number], number, &run.random);
    }
}

static int record_is_answered(const struct sim_record *record) {
    return record->seen == record->sent && record->read == record->echoed && record->push_read == record->pushed
        && record->announce_read == record->announced;
}

// Everyone only finishes what was begun, until all has been answered. That takes as many turns as it takes, but an
// end there must be: a lost wake-up or completion shows here.
static void settle_calm(void) {
    for (int turn = 0;; turn++) {
        CHECK(turn < SETTLE_TURNS);
        int waiting = 0;
        for (int i = 0; i < CLIENTS; i++) {
            struct sim_client *client = &run.clients[i];
            if (client->wire == SIM_NONE) {
                continue;
            }
            waiting = 1;
            if (client->upgraded == 0) {
                sim_client_leave(client, &sim);
                continue;
            }
            if (sim_client_has_written(client) && record_is_answered(client->record)) {
                client->out_start = client->out_end = 0;
                sim_client_say_goodbye(client);
            }
            for (int each = 0; each < 4 && client->wire != SIM_NONE; each++) {
                sim_client_act(client, &sim, 0, &run.random);
            }
        }
        if (!waiting) {
            return;
        }
        server_turn(UINT64_MAX);
    }
}

static void settle_wild(void) {
    for (int i = 0; i < CLIENTS; i++) {
        if (run.clients[i].wire != SIM_NONE) {
            if (sim_below(&run.random, 2)) {
                sim_client_reset(&sim, run.clients[i].wire);
            }
            sim_client_leave(&run.clients[i], &sim);
        }
    }
}

static void run_close(void) {
    struct gw_stats stats;
    server_end_lease();
    if (run.hoard_count > 0) {
        server_hoard();
    }
    if (run.layer != NULL) {
        sim_tls_give_back(run.layer);
    }
    run.noisy = 0;
    // Quiet for some turns: nothing is told of a connection after its end.
    for (int turn = 0, quiet = 0; quiet < 10; turn++) {
        CHECK(turn < SETTLE_TURNS);
        const struct gw_event *events;
        const int count = gw_reactor_turn(run.reactor, UINT64_MAX, &events);
        for (int i = 0; i < count; i++) {
            if (events[i].kind != GW_EVENT_WRITABLE) {
                server_event(&events[i]);
            }
        }
        server_end_lease();
        gw_reactor_stats(run.reactor, &stats);
        quiet = stats.connections == 0 ? quiet + 1 : 0;
    }
    uint64_t opened = 0;
    for (uint32_t i = 0; i < run.records_count; i++) {
        const struct sim_record *record = &run.records[i];
        opened += record->opened;
        CHECK(record->opened == record->closed && record->seen <= record->sent && record->read <= record->echoed);
        CHECK(!run.calm || !record->opened || (record->clean && record->parted));
        // Who parted in order has been told all that was queued; what it had said before, the server has seen.
        if (record->clean && record->parted) {
            CHECK(record_is_answered(record));
            totals.parted++;
        }
        totals.echoes += record->read;
        totals.inflated += record->inflated;
    }
    CHECK(stats.accepted == stats.closed);
    CHECK(stats.accepted == opened + stats.handshakes_failed + stats.peers_refused);
    CHECK(run.share > 0 || stats.peers_refused == 0);
    CHECK(stats.pool_bytes == 0 && sim_buffers_lent(&sim) == 0);
    if (run.layer != NULL) {
        sim_tls_expect_nothing_held(run.layer);
    }
    totals.starved += stats.receive_starved;
    totals.closed_while_sending += sim.closed_while_sending;
    totals.short_sends += sim.short_sends;
    totals.short_sends_refused += sim.short_sends_refused;
    totals.recalled += sim.recalled;
    totals.peers_refused += stats.peers_refused;
    gw_reactor_destroy(run.reactor);
}

static void simulate(uint64_t seed) {
    seed_now = seed;
    memset(&run, 0, sizeof run);
    run.random = seed * 0x9e3779b97f4a7c15u | 1;
    run.calm = seed % 3 == 0;
    run.noisy = seed % 3 == 1;
    run.hoarding = !run.calm && seed % 2 == 0;
    run.deflates = seed % 7 == 0;
    run.has_rings = seed % 4 != 0;
    for (int i = 0; i < CLIENTS; i++) {
        run.clients[i].wire = SIM_NONE;
    }
    run_open();
    for (int step = 0; step < STEPS; step++) {
        for (uint32_t acts = sim_below(&run.random, 6); acts > 0; acts--) {
            clients_act(1);
        }
        server_turn(sim_below(&run.random, 2) ? 0 : UINT64_MAX);
    }
    if (run.calm) {
        settle_calm();
    } else {
        settle_wild();
    }
    run_close();
}

static void print_totals(uint64_t seeds) {
    printf("# %llu seeds: %llu turns, %llu connections, %llu messages, %llu echoes read, %llu orderly ends, "
           "%llu receives and %llu echoes that found no buffer, %llu leases, %llu frames fanned out, "
           "%llu sockets closed while sending, %llu over their peer's share, %llu messages inflated, "
           "%llu short sends, %llu of them refused, %llu recalled\n",
           (unsigned long long)seeds, (unsigned long long)totals.turns, (unsigned long long)totals.closed,
           (unsigned long long)totals.messages, (unsigned long long)totals.echoes,
           (unsigned long long)totals.parted, (unsigned long long)totals.starved, (unsigned long long)totals.refused,
           (unsigned long long)totals.leases, (unsigned long long)totals.fanned_out,
           (unsigned long long)totals.closed_while_sending, (unsigned long long)totals.peers_refused,
           (unsigned long long)totals.inflated, (unsigned long long)totals.short_sends,
           (unsigned long long)totals.short_sends_refused, (unsigned long long)totals.recalled);
}

static void simulation__holds_what_the_core_promises(void) {
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        simulate(seed);
    }
    print_totals(SEEDS);
    CHECK(totals.messages / SEEDS > 20 && totals.parted > SEEDS / 4 && totals.starved > SEEDS && totals.leases > SEEDS
          && totals.refused > SEEDS / 2 && totals.fanned_out > SEEDS && totals.closed_while_sending > SEEDS / 2
          && totals.peers_refused > SEEDS / 2 && totals.inflated > SEEDS / 2
          && totals.short_sends > SEEDS && totals.short_sends_refused > SEEDS && totals.recalled > SEEDS / 2);
}

// The same under the TLS layer. Fewer messages, for every connection shakes hands first.
static void simulation__holds_it_over_tls(void) {
    totals = (struct totals){ .turns = 0 };
    secure_now = 1;
    for (uint64_t seed = 1; seed <= SECURE_SEEDS; seed++) {
        simulate(seed);
    }
    print_totals(SECURE_SEEDS);
    CHECK(totals.messages / SECURE_SEEDS > 20 && totals.parted > SECURE_SEEDS && totals.starved > SECURE_SEEDS
          && totals.closed_while_sending > SECURE_SEEDS && totals.peers_refused > SECURE_SEEDS);
}

int main(int argc, char **argv) {
    signal(SIGABRT, say_seed);
    signal(SIGSEGV, say_seed);
    if (argc == 1) {
        RUN(simulation__holds_what_the_core_promises);
        RUN(simulation__holds_it_over_tls);
        return 0;
    }
    if (strcmp(argv[1], "--tls") == 0) {
        secure_now = 1;
        argc--;
        argv++;
    }
    const int one = argc == 3 && strcmp(argv[1], "--seed") == 0;
    if (!one && !(argc == 4 && strcmp(argv[1], "--seeds") == 0)) {
        fprintf(stderr, "usage: simulate [--tls] [--seed N | --seeds FROM COUNT]\n");
        return 64;
    }
    const uint64_t from = strtoull(argv[2], NULL, 10), count = one ? 1 : strtoull(argv[3], NULL, 10);
    for (uint64_t seed = from; seed < from + count; seed++) {
        simulate(seed);
    }
    print_totals(count);
    return 0;
}
