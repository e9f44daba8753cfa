// How many connections of an address have yet to say who they are; see the header.
// Owner and thread: the reactor's.
#include "gw_peers.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>

// Indexes are kept one higher, so that untouched memory, which is zero, says none.
enum { GW_PEERS_NONE = 0 };

static void *gw_peers_map(size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static void gw_peers_unmap(void *memory, size_t bytes) {
    if (memory != NULL) {
        munmap(memory, bytes);
    }
}

static size_t gw_peers_chains(const struct gw_peers *peers) { return (size_t)1 << peers->chain_bits; }

int gw_peers_init(struct gw_peers *peers, uint32_t slots, uint32_t each_max) {
    *peers = (struct gw_peers){ .slots = slots, .each_max = each_max };
    if (each_max == 0) {
        return 0;
    }
    while (gw_peers_chains(peers) < slots) {
        peers->chain_bits++;
    }
    if (getrandom(&peers->secret, sizeof peers->secret, GRND_NONBLOCK) != (ssize_t)sizeof peers->secret) {
        struct timespec now;   // early at boot: the start's nanoseconds are better than nothing
        clock_gettime(CLOCK_MONOTONIC, &now);
        peers->secret = (uint64_t)now.tv_nsec * 0x9e3779b97f4a7c15u ^ (uint64_t)(uintptr_t)peers;
    }
    peers->counts = gw_peers_map(slots * sizeof *peers->counts);
    peers->heads = gw_peers_map(gw_peers_chains(peers) * sizeof *peers->heads);
    peers->of_slot = gw_peers_map(slots * sizeof *peers->of_slot);
    return peers->counts != NULL && peers->heads != NULL && peers->of_slot != NULL ? 0 : -ENOMEM;
}

void gw_peers_deinit(struct gw_peers *peers) {
    gw_peers_unmap(peers->counts, peers->slots * sizeof *peers->counts);
    gw_peers_unmap(peers->heads, gw_peers_chains(peers) * sizeof *peers->heads);
    gw_peers_unmap(peers->of_slot, peers->slots * sizeof *peers->of_slot);
}

// The link to a chain's first count. The mix is the end of D. Lea's and G. Steele's SplitMix64.
static uint32_t *gw_peers_chain(const struct gw_peers *peers, uint64_t peer) {
    uint64_t mixed = (peer ^ peers->secret) * 0x9e3779b97f4a7c15u;
    mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9u;
    mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebu;
    return &peers->heads[(mixed ^ mixed >> 31) & (gw_peers_chains(peers) - 1)];
}

static struct gw_peer_count *gw_peers_at(const struct gw_peers *peers, uint32_t index) {
    return &peers->counts[index - 1];
}

static uint32_t gw_peers_add(struct gw_peers *peers, uint32_t *chain, uint64_t peer) {
    uint32_t index = peers->free;
    if (index != GW_PEERS_NONE) {
        peers->free = gw_peers_at(peers, index)->next;
    } else {
        assert(peers->touched < peers->slots);
        index = ++peers->touched;
    }
    *gw_peers_at(peers, index) = (struct gw_peer_count){ .peer = peer, .next = *chain };
    *chain = index;
    return index;
}

int gw_peers_enter(struct gw_peers *peers, uint32_t slot, uint64_t peer) {
    if (peers->each_max == 0 || peer == 0) {
        return 1;
    }
    assert(slot < peers->slots && peers->of_slot[slot] == GW_PEERS_NONE);
    uint32_t *chain = gw_peers_chain(peers, peer);
    uint32_t index = *chain;
    while (index != GW_PEERS_NONE && gw_peers_at(peers, index)->peer != peer) {
        index = gw_peers_at(peers, index)->next;
    }
    if (index == GW_PEERS_NONE) {
        index = gw_peers_add(peers, chain, peer);
    }
    struct gw_peer_count *count = gw_peers_at(peers, index);
    if (count->count >= peers->each_max) {
        return 0;
    }
    count->count++;
    peers->of_slot[slot] = index;
    return 1;
}

struct gw_peer_count *gw_peers_find(struct gw_peers *peers, uint32_t slot) {
    const int entered = peers->each_max != 0 && peers->of_slot[slot] != GW_PEERS_NONE;
    return entered ? gw_peers_at(peers, peers->of_slot[slot]) : NULL;
}

void gw_peers_leave(struct gw_peers *peers, uint32_t slot) {
    if (peers->each_max == 0 || peers->of_slot[slot] == GW_PEERS_NONE) {
        return;
    }
    const uint32_t index = peers->of_slot[slot];
    struct gw_peer_count *count = gw_peers_at(peers, index);
    peers->of_slot[slot] = GW_PEERS_NONE;
    if (--count->count > 0) {
        return;
    }
    uint32_t *link = gw_peers_chain(peers, count->peer);
    while (*link != index) {
        link = &gw_peers_at(peers, *link)->next;
    }
    *link = count->next;
    count->next = peers->free;
    peers->free = index;
}

uint64_t gw_peers_of(const struct gw_peers *peers, uint32_t slot) {
    if (peers->each_max == 0 || peers->of_slot[slot] == GW_PEERS_NONE) {
        return 0;
    }
    return gw_peers_at(peers, peers->of_slot[slot])->peer;
}

uint64_t gw_peers_bytes(const struct gw_peers *peers, uint32_t slots_touched) {
    if (peers->each_max == 0) {
        return 0;
    }
    return peers->touched * sizeof *peers->counts + gw_peers_chains(peers) * sizeof *peers->heads
         + slots_touched * sizeof *peers->of_slot;
}
