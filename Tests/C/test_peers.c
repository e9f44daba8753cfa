// Whose a socket is, and the count of each peer's connections against a plain model.
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "gw_peer.h"
#include "gw_peers.h"
#include "test.h"

static uint64_t peer_of(const char *text) {
    struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = htons(1234) };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6, .sin6_port = htons(1234) };
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1) {
        return gw_peer_of((struct sockaddr *)&v4);
    }
    CHECK(inet_pton(AF_INET6, text, &v6.sin6_addr) == 1);
    return gw_peer_of((struct sockaddr *)&v6);
}

static void peer__is_an_ipv4_address_or_the_64_of_an_ipv6_address(void) {
    CHECK(peer_of("192.0.2.1") != peer_of("192.0.2.2"));
    CHECK(peer_of("192.0.2.1") == peer_of("::ffff:192.0.2.1"));
    CHECK(peer_of("2001:db8:1:2::1") == peer_of("2001:db8:1:2:ffff::2"));
    CHECK(peer_of("2001:db8:1:2::1") != peer_of("2001:db8:1:3::1"));
    const char *const all[] = { "0.0.0.0", "127.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "2001:db8::1" };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        CHECK(peer_of(all[i]) != 0);
    }
    const struct sockaddr unix_socket = { .sa_family = AF_UNIX };
    CHECK(gw_peer_of(&unix_socket) == 0);
}

static void peers__are_counted_one_by_one_up_to_their_share(void) {
    struct gw_peers peers;
    CHECK(gw_peers_init(&peers, 8, 2) == 0);
    CHECK(gw_peers_enter(&peers, 0, 7) && gw_peers_enter(&peers, 1, 7) && !gw_peers_enter(&peers, 2, 7));
    CHECK(gw_peers_enter(&peers, 2, 8));
    CHECK(gw_peers_enter(&peers, 3, 0) && gw_peers_enter(&peers, 4, 0) && gw_peers_enter(&peers, 5, 0));
    gw_peers_leave(&peers, 0);
    gw_peers_leave(&peers, 0);
    CHECK(gw_peers_enter(&peers, 6, 7) && !gw_peers_enter(&peers, 7, 7));
    gw_peers_deinit(&peers);
}

static void peers__without_a_share_are_not_counted(void) {
    struct gw_peers peers;
    CHECK(gw_peers_init(&peers, 1u << 24, 0) == 0);
    for (uint32_t slot = 0; slot < 1000; slot++) {
        CHECK(gw_peers_enter(&peers, slot, 7));
    }
    CHECK(gw_peers_bytes(&peers, 1000) == 0);
    gw_peers_leave(&peers, 1);
    gw_peers_deinit(&peers);
}

// As many peers as slots, among them ever new ones: the table never grows beyond the slots.
static void peers__agree_with_a_plain_count(void) {
    enum { SLOTS = 97, PEERS = 200, STEPS = 200000, SHARE = 3 };
    struct gw_peers peers;
    uint64_t random = 1, of_slot[SLOTS] = { 0 };
    uint32_t counts[PEERS + 1] = { 0 };
    CHECK(gw_peers_init(&peers, SLOTS, SHARE) == 0);
    for (int step = 0; step < STEPS; step++) {
        const uint32_t slot = (uint32_t)(test_random(&random) % SLOTS);
        if (of_slot[slot] != 0) {
            gw_peers_leave(&peers, slot);
            counts[of_slot[slot]]--;
            of_slot[slot] = 0;
            continue;
        }
        // Squared, so that some peers are common and most are rare.
        const uint64_t some = test_random(&random) % PEERS;
        const uint64_t peer = some * some / PEERS + 1;
        const int entered = gw_peers_enter(&peers, slot, peer);
        CHECK(entered == (counts[peer] < SHARE));
        if (entered) {
            counts[peer]++;
            of_slot[slot] = peer;
        }
    }
    CHECK(peers.touched <= SLOTS);
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        gw_peers_leave(&peers, slot);
    }
    for (uint32_t chain = 0; chain < 1u << peers.chain_bits; chain++) {
        CHECK(peers.heads[chain] == 0);
    }
    gw_peers_deinit(&peers);
}

// Who makes room, against a plain look at all slots.
static void displaced__is_the_oldest_of_whoever_has_the_most(void) {
    enum { SLOTS = 61, PEERS = 40, STEPS = 100000, SHARE = 9 };
    struct gw_peers peers;
    uint64_t random = 2, of_slot[SLOTS] = { 0 };
    uint32_t counts[PEERS + 1] = { 0 }, entered_at[SLOTS] = { 0 }, total = 0;
    CHECK(gw_peers_init(&peers, SLOTS, SHARE) == 0);
    for (uint32_t step = 1; step < STEPS; step++) {
        const uint32_t slot = (uint32_t)(test_random(&random) % SLOTS);
        const uint64_t some = test_random(&random) % PEERS;
        const uint64_t peer = some * some / PEERS + 1;
        uint32_t most = 0;
        for (uint32_t other = 1; other <= PEERS; other++) {
            most = counts[other] > most ? counts[other] : most;
        }
        CHECK(peers.most == most && peers.total == total && gw_peers_has_room(&peers, peer) == (counts[peer] < SHARE));
        const uint32_t displaced = gw_peers_displaced_by(&peers, peer);
        CHECK((displaced == GW_PEERS_NOBODY) == (most <= counts[peer] + 1));
        if (displaced != GW_PEERS_NOBODY) {
            CHECK(counts[of_slot[displaced]] == most);
            for (uint32_t other = 0; other < SLOTS; other++) {
                CHECK(of_slot[other] != of_slot[displaced] || entered_at[other] >= entered_at[displaced]);
            }
        }
        // Mostly those leave whom a newcomer displaces.
        const uint32_t leaves = of_slot[slot] == 0 || displaced == GW_PEERS_NOBODY ? slot : displaced;
        if (of_slot[leaves] != 0) {
            gw_peers_leave(&peers, leaves);
            total--;
            counts[of_slot[leaves]]--;
            of_slot[leaves] = 0;
        } else if (gw_peers_enter(&peers, slot, peer)) {
            total++;
            counts[peer]++;
            of_slot[slot] = peer;
            entered_at[slot] = step;
        }
    }
    CHECK(gw_peers_displaced_by(&peers, 0) == GW_PEERS_NOBODY && gw_peers_has_room(&peers, 0));
    gw_peers_deinit(&peers);
    CHECK(gw_peers_init(&peers, SLOTS, 0) == 0);
    CHECK(gw_peers_displaced_by(&peers, 7) == GW_PEERS_NOBODY && gw_peers_has_room(&peers, 7));
    gw_peers_deinit(&peers);
}

int main(void) {
    RUN(peer__is_an_ipv4_address_or_the_64_of_an_ipv6_address);
    RUN(peers__are_counted_one_by_one_up_to_their_share);
    RUN(peers__without_a_share_are_not_counted);
    RUN(peers__agree_with_a_plain_count);
    RUN(displaced__is_the_oldest_of_whoever_has_the_most);
    return 0;
}
