// Who may have how many sockets: shares of an address, and accepting at the limit of descriptors.
#include <sys/resource.h>

#include "gateway_client.h"

static struct gw_config config_with_share(uint32_t share) {
    struct gw_config config = config_usual(64);
    config.untrusted_per_peer_max = share;
    return config;
}

static void expect_refused(struct world *w, int fd) {
    const uint64_t before = world_stats(w).peers_refused;
    char byte;
    CHECK(client_receive_some(w, fd, &byte, 1, 5000) == 0);   // before any deadline
    CHECK(world_stats(w).peers_refused == before + 1);
    close(fd);
}

static void share__is_an_addresss_own(void) {
    const struct gw_config config = config_with_share(3);
    struct world w;
    int fds[6];
    world_open(&w, &config);
    for (int i = 0; i < 6; i++) {
        fds[i] = client_connect_from(&w, i < 3 ? 2 : 3);
        (void)client_enter(&w, fds[i]);
    }
    expect_refused(&w, client_connect_from(&w, 2));
    expect_refused(&w, client_connect_from(&w, 3));
    const int other = client_connect_from(&w, 4);
    (void)client_enter(&w, other);
    const struct gw_stats stats = world_stats(&w);
    CHECK(stats.peers_refused == 2 && stats.accepted == 9 && stats.handshakes_failed == 0 && w.seen_count == 7);
    for (int i = 0; i < 6; i++) {
        close(fds[i]);
    }
    close(other);
    world_close(&w);
}

// Three addresses hold the twelve places that strangers may have of sixteen.
static void strangers__of_a_few_addresses_make_room_for_others(void) {
    struct gw_config config = config_with_share(4);
    struct world w;
    int fds[12], members[8];
    config.connections_max = 16;
    config.untrusted_max = 12;
    world_open(&w, &config);
    for (int i = 0; i < 12; i++) {
        fds[i] = client_connect_from(&w, (uint8_t)(2 + i % 3));
        (void)client_enter(&w, fds[i]);
    }
    expect_refused(&w, client_connect_from(&w, 2));   // its share
    for (int i = 0; i < 8; i++) {
        const size_t closed = world_count(&w, GW_EVENT_CLOSED);
        members[i] = client_connect_from(&w, 9);
        CHECK(gw_conn_trust(w.reactor, client_enter(&w, members[i])) == 0);
        // The first pushes one out, then there is room up to the last place.
        if (i == 0 || i >= 4) {
            CHECK(world_await(&w, GW_EVENT_CLOSED, closed)->code == 1006);
        }
        world_await_connections(&w, i < 4 ? (uint64_t)(12 + i) : 15);
    }
    CHECK(world_stats(&w).peers_displaced == 5);
    for (int i = 0; i < 3; i++) {
        char byte;
        CHECK(client_receive_some(&w, fds[i], &byte, 1, 5000) == 0);   // the oldest of each
    }
    // Who has as many as the busiest pushes out nobody, and does not get the last place.
    for (uint8_t host = 2; host < 5; host++) {
        expect_refused(&w, client_connect_from(&w, host));
    }
    world_await_connections(&w, 15);
    for (int i = 0; i < 12; i++) {
        close(fds[i]);
    }
    for (int i = 0; i < 8; i++) {
        close(members[i]);
    }
    world_close(&w);
}

static void strangers__one_of_each_address_do_not_push_each_other_out(void) {
    struct gw_config config = config_with_share(4);
    struct world w;
    int fds[12];
    config.connections_max = 16;
    config.untrusted_max = 12;
    world_open(&w, &config);
    for (int i = 0; i < 12; i++) {
        fds[i] = client_connect_from(&w, (uint8_t)(2 + i));
        (void)client_enter(&w, fds[i]);
    }
    expect_refused(&w, client_connect_from(&w, 100));
    expect_refused(&w, client_connect_from(&w, 2));
    CHECK(world_stats(&w).peers_displaced == 0 && world_count(&w, GW_EVENT_CLOSED) == 0);
    for (int i = 0; i < 12; i++) {
        close(fds[i]);
    }
    world_close(&w);
    config.untrusted_per_peer_max = 0;   // nobody is counted, so nobody can be bounded
    struct gw_reactor *reactor;
    CHECK(gw_reactor_create(&config, &reactor) == GW_EINVAL);
}

static void peer__is_told_until_it_is_trusted(void) {
    struct gw_config config = config_with_share(3);
    struct world w;
    world_open(&w, &config);
    const int fd = client_connect_from(&w, 2);
    const gw_conn_id id = client_enter(&w, fd);
    CHECK(gw_conn_peer(w.reactor, id) == ((uint64_t)1 << 32 | 0x7f000002u));
    CHECK(gw_conn_peer(w.reactor, id + 1) == 0 && gw_conn_peer(w.reactor, 0) == 0);
    CHECK(gw_conn_trust(w.reactor, id) == 0 && gw_conn_peer(w.reactor, id) == 0);
    close(fd);
    CHECK(world_await(&w, GW_EVENT_CLOSED, 0)->conn == id);
    CHECK(gw_conn_peer(w.reactor, id) == 0);
    world_close(&w);
    config.untrusted_per_peer_max = 0;
    world_open(&w, &config);
    const int uncounted = client_connect_from(&w, 2);
    CHECK(gw_conn_peer(w.reactor, client_enter(&w, uncounted)) == 0);
    close(uncounted);
    world_close(&w);
}

// Trust, an end in order and a failed handshake each free a place.
static void share__is_freed_by_trust_and_by_an_end(void) {
    const struct gw_config config = config_with_share(1);
    struct world w;
    char head[1024];
    world_open(&w, &config);
    const int trusted = client_connect_from(&w, 2);
    const gw_conn_id id = client_enter(&w, trusted);
    expect_refused(&w, client_connect_from(&w, 2));
    CHECK(gw_conn_trust(w.reactor, id) == 0 && gw_conn_trust(w.reactor, id) == 0);
    const int leaves = client_connect_from(&w, 2);
    (void)client_enter(&w, leaves);
    expect_refused(&w, client_connect_from(&w, 2));
    close(leaves);
    CHECK(world_await(&w, GW_EVENT_CLOSED, 0) != NULL);
    world_await_connections(&w, 1);
    const int fails = client_connect_from(&w, 2);
    client_send(&w, fails, "nonsense\r\n\r\n", 12);
    CHECK(client_read_response(&w, fails, head, sizeof head) == 400);
    expect_refused(&w, client_connect_from(&w, 2));   // its last words are still under way
    close(fails);
    world_await_connections(&w, 1);
    const int last = client_connect_from(&w, 2);
    (void)client_enter(&w, last);
    close(trusted);
    CHECK(world_await(&w, GW_EVENT_CLOSED, 1)->conn == id);
    CHECK(gw_conn_trust(w.reactor, id) == GW_ENOCONN);
    close(last);
    world_close(&w);
}

static void share__is_freed_by_a_deadline(void) {
    struct gw_config config = config_with_share(1);
    config.handshake_ms = 300;
    struct world w;
    world_open(&w, &config);
    const int silent = client_connect_from(&w, 2);
    CHECK(client_is_ended(&w, silent, WORLD_PATIENCE_MS));
    close(silent);
    world_await_connections(&w, 0);
    const int last = client_connect_from(&w, 2);
    while (world_stats(&w).accepted < 2) {
        world_turn(&w, 1);
    }
    CHECK(world_stats(&w).peers_refused == 0);
    close(last);
    world_close(&w);
}

// Whatever an address does with its share, others come in and those who are in are served.
static void share__keeps_a_flood_from_an_address_off_the_others(void) {
    const struct gw_config config = config_with_share(8);
    enum { FLOOD = 500 };
    struct world w;
    uint8_t payload[125];
    static int flood[FLOOD];
    world_open(&w, &config);
    w.echo = 1;
    const int served = client_connect_from(&w, 3);
    (void)client_enter(&w, served);
    for (int i = 0; i < FLOOD; i++) {
        flood[i] = client_connect_from(&w, 2);
        world_turn(&w, 0);
    }
    client_send_frame(&w, served, 0x81, "alive", 5);
    CHECK(client_read_frame(&w, served, payload, sizeof payload).length == 5);
    const int newcomer = client_connect_from(&w, 4);
    (void)client_enter(&w, newcomer);
    world_await_connections(&w, 8 + 2);
    CHECK(world_stats(&w).peers_refused == FLOOD - 8);
    for (int i = 0; i < FLOOD; i++) {
        close(flood[i]);
    }
    close(served);
    close(newcomer);
    world_close(&w);
}

static void share__holds_over_ipv6_too(void) {
    const struct gw_config config = config_with_share(2);
    struct world w;
    world_open(&w, &config);
    gw_reactor_stop_listening(w.reactor);
    world_turn_for(&w, 20);
    const int port = gw_reactor_listen(w.reactor, "::1", 0, 0);
    if (port == -EADDRNOTAVAIL || port == -EAFNOSUPPORT) {
        printf("# no IPv6 here\n");
        world_close(&w);
        return;
    }
    CHECK(port > 0);
    const struct sockaddr_in6 to = { .sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port),
                                     .sin6_addr = IN6ADDR_LOOPBACK_INIT };
    int fds[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK(fds[i] >= 0 && connect(fds[i], (const struct sockaddr *)&to, sizeof to) == 0);
        if (i < 2) {
            client_upgrade(&w, fds[i]);
        } else {
            expect_refused(&w, fds[i]);
        }
    }
    close(fds[0]);
    close(fds[1]);
    world_close(&w);
}

// Without a descriptor left, accepting pauses without spinning and goes on by itself: on epoll, because each socket is
// a descriptor. On io_uring sockets are none, and nothing pauses at all.
static void accept__pauses_without_descriptors_and_goes_on_by_itself(void) {
    const struct gw_config config = config_with_share(0);
    struct world w;
    char head[1024];
    struct rlimit limit;
    world_open(&w, &config);
    const int first = client_open(&w, NULL), second = client_connect(&w);
    client_send(&w, second, UPGRADE_REQUEST, sizeof UPGRADE_REQUEST - 1);
    CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
    const struct rlimit none = { .rlim_cur = 3, .rlim_max = limit.rlim_max };
    CHECK(setrlimit(RLIMIT_NOFILE, &none) == 0);
    const uint64_t begin = world_now_ms(), before = world_stats(&w).syscalls;
    const struct gw_event *events;
    while (world_now_ms() - begin < 1000) {
        CHECK(gw_reactor_turn(w.reactor, 1000000000, &events) >= 0);
    }
    const uint64_t syscalls = world_stats(&w).syscalls - before;
    CHECK(syscalls < 60);   // ten tries a second, and what it takes to wait for them
    CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
    CHECK(world_stats(&w).connections == (test_backend() == GW_BACKEND_EPOLL ? 1 : 2));
    CHECK(client_read_response(&w, second, head, sizeof head) == 101);
    close(first);
    close(second);
    world_close(&w);
}

// With every slot taken the backlog waits, and so does the reactor: a second of it costs next to no system call.
static void accept__pauses_at_the_connections_limit_and_goes_on_by_itself(void) {
    struct gw_config config = config_with_share(0);
    config.connections_max = 2;
    struct world w;
    int waiting[4];
    char head[1024];
    world_open(&w, &config);
    const int first = client_open(&w, NULL), second = client_open(&w, NULL);
    for (int i = 0; i < 4; i++) {
        waiting[i] = client_connect(&w);
        client_send(&w, waiting[i], UPGRADE_REQUEST, sizeof UPGRADE_REQUEST - 1);
    }
    world_turn_for(&w, 20);
    const uint64_t begin = world_now_ms(), before = world_stats(&w).syscalls;
    const struct gw_event *events;
    while (world_now_ms() - begin < 1000) {
        CHECK(gw_reactor_turn(w.reactor, 100000000, &events) == 0);
    }
    CHECK(world_stats(&w).syscalls - before < 30);   // ten waits
    CHECK(world_stats(&w).connections == 2);
    close(first);
    CHECK(client_read_response(&w, waiting[0], head, sizeof head) == 101);
    CHECK(world_stats(&w).connections == 2);
    close(second);
    for (int i = 0; i < 4; i++) {
        close(waiting[i]);
    }
    world_close(&w);
}

int main(void) {
    RUN(share__is_an_addresss_own);
    RUN(strangers__of_a_few_addresses_make_room_for_others);
    RUN(strangers__one_of_each_address_do_not_push_each_other_out);
    RUN(peer__is_told_until_it_is_trusted);
    RUN(share__is_freed_by_trust_and_by_an_end);
    RUN(share__is_freed_by_a_deadline);
    RUN(share__keeps_a_flood_from_an_address_off_the_others);
    RUN(share__holds_over_ipv6_too);
    RUN_PLAIN(accept__pauses_without_descriptors_and_goes_on_by_itself);
    RUN_PLAIN(accept__pauses_at_the_connections_limit_and_goes_on_by_itself);
    return 0;
}
