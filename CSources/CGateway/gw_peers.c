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

// Untouched memory, which is zero, says none.
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
// No peer has more than there are slots.
static size_t gw_peers_levels(const struct gw_peers *peers) {
    return 1 + (size_t)(peers->each_max < peers->slots_max ? peers->each_max : peers->slots_max);
}

int gw_peers_init(struct gw_peers *peers, uint32_t slots_max, uint32_t each_max) {
    *peers = (struct gw_peers){ .slots_max = slots_max, .each_max = each_max };
    if (each_max == 0) {
        return 0;
    }
    while (gw_peers_chains(peers) < slots_max) {
        peers->chain_bits++;
    }
    if (getrandom(&peers->secret, sizeof peers->secret, GRND_NONBLOCK) != (ssize_t)sizeof peers->secret) {
        struct timespec now;   // early at boot: the start's nanoseconds are better than nothing
        clock_gettime(CLOCK_MONOTONIC, &now);
        peers->secret = (uint64_t)now.tv_nsec * 0x9e3779b97f4a7c15u ^ (uint64_t)(uintptr_t)peers;
    }
    peers->counts = gw_peers_map(slots_max * sizeof *peers->counts);
    peers->slots = gw_peers_map(slots_max * sizeof *peers->slots);
    peers->heads = gw_peers_map(gw_peers_chains(peers) * sizeof *peers->heads);
    peers->levels = gw_peers_map(gw_peers_levels(peers) * sizeof *peers->levels);
    const int is_whole = peers->counts != NULL && peers->slots != NULL && peers->heads != NULL && peers->levels != NULL;
    return is_whole ? 0 : -ENOMEM;
}

void gw_peers_deinit(struct gw_peers *peers) {
    gw_peers_unmap(peers->counts, peers->slots_max * sizeof *peers->counts);
    gw_peers_unmap(peers->slots, peers->slots_max * sizeof *peers->slots);
    gw_peers_unmap(peers->heads, gw_peers_chains(peers) * sizeof *peers->heads);
    gw_peers_unmap(peers->levels, gw_peers_levels(peers) * sizeof *peers->levels);
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

static uint32_t gw_peers_look_up(const struct gw_peers *peers, uint64_t peer) {
    uint32_t index = *gw_peers_chain(peers, peer);
    while (index != GW_PEERS_NONE && gw_peers_at(peers, index)->peer != peer) {
        index = gw_peers_at(peers, index)->next;
    }
    return index;
}

static uint32_t gw_peers_count_of(const struct gw_peers *peers, uint64_t peer) {
    const uint32_t index = gw_peers_look_up(peers, peer);
    return index == GW_PEERS_NONE ? 0 : gw_peers_at(peers, index)->count;
}

static uint32_t gw_peers_add(struct gw_peers *peers, uint64_t peer) {
    uint32_t *chain = gw_peers_chain(peers, peer);
    uint32_t index = peers->free;
    if (index != GW_PEERS_NONE) {
        peers->free = gw_peers_at(peers, index)->next;
    } else {
        assert(peers->touched < peers->slots_max);
        index = ++peers->touched;
    }
    *gw_peers_at(peers, index) = (struct gw_peer_count){ .peer = peer, .next = *chain };
    *chain = index;
    return index;
}

static void gw_peers_remove(struct gw_peers *peers, uint32_t index) {
    struct gw_peer_count *count = gw_peers_at(peers, index);
    uint32_t *link = gw_peers_chain(peers, count->peer);
    while (*link != index) {
        link = &gw_peers_at(peers, *link)->next;
    }
    *link = count->next;
    count->next = peers->free;
    peers->free = index;
}

// Moves a peer from the level of its count to the one above or below; level 0 is no list.
static void gw_peers_set_count(struct gw_peers *peers, uint32_t index, uint32_t now) {
    struct gw_peer_count *count = gw_peers_at(peers, index);
    if (count->count > 0) {
        *(count->above != GW_PEERS_NONE ? &gw_peers_at(peers, count->above)->below : &peers->levels[count->count]) =
            count->below;
        if (count->below != GW_PEERS_NONE) {
            gw_peers_at(peers, count->below)->above = count->above;
        }
    }
    if (now > 0) {
        count->above = GW_PEERS_NONE;
        count->below = peers->levels[now];
        peers->levels[now] = index;
        if (count->below != GW_PEERS_NONE) {
            gw_peers_at(peers, count->below)->above = index;
        }
    }
    peers->total += now - count->count;
    count->count = now;
    if (now > peers->most || peers->levels[peers->most] == GW_PEERS_NONE) {
        peers->most = now;
    }
}

int gw_peers_has_room(const struct gw_peers *peers, uint64_t peer) {
    return peers->each_max == 0 || peer == 0 || gw_peers_count_of(peers, peer) < peers->each_max;
}

uint32_t gw_peers_displaced_by(const struct gw_peers *peers, uint64_t peer) {
    if (peers->each_max == 0 || peer == 0 || peers->most <= gw_peers_count_of(peers, peer) + 1) {
        return GW_PEERS_NOBODY;
    }
    return gw_peers_at(peers, peers->levels[peers->most])->oldest - 1;
}

int gw_peers_enter(struct gw_peers *peers, uint32_t slot, uint64_t peer) {
    if (peers->each_max == 0 || peer == 0) {
        return 1;
    }
    assert(slot < peers->slots_max && peers->slots[slot].count == GW_PEERS_NONE);
    uint32_t index = gw_peers_look_up(peers, peer);
    if (index == GW_PEERS_NONE) {
        index = gw_peers_add(peers, peer);
    }
    struct gw_peer_count *count = gw_peers_at(peers, index);
    if (count->count >= peers->each_max) {
        return 0;
    }
    peers->slots[slot] = (struct gw_peer_slot){ .count = index, .older = count->newest };
    *(count->newest != GW_PEERS_NONE ? &peers->slots[count->newest - 1].newer : &count->oldest) = slot + 1;
    count->newest = slot + 1;
    gw_peers_set_count(peers, index, count->count + 1);
    return 1;
}

struct gw_peer_count *gw_peers_find(struct gw_peers *peers, uint32_t slot) {
    const int entered = peers->each_max != 0 && peers->slots[slot].count != GW_PEERS_NONE;
    return entered ? gw_peers_at(peers, peers->slots[slot].count) : NULL;
}

void gw_peers_leave(struct gw_peers *peers, uint32_t slot) {
    struct gw_peer_count *count = gw_peers_find(peers, slot);
    if (count == NULL) {
        return;
    }
    struct gw_peer_slot *of = &peers->slots[slot];
    *(of->older != GW_PEERS_NONE ? &peers->slots[of->older - 1].newer : &count->oldest) = of->newer;
    *(of->newer != GW_PEERS_NONE ? &peers->slots[of->newer - 1].older : &count->newest) = of->older;
    const uint32_t index = of->count;
    of->count = GW_PEERS_NONE;
    gw_peers_set_count(peers, index, count->count - 1);
    if (count->count == 0) {
        gw_peers_remove(peers, index);
    }
}

uint64_t gw_peers_of(const struct gw_peers *peers, uint32_t slot) {
    if (peers->each_max == 0 || peers->slots[slot].count == GW_PEERS_NONE) {
        return 0;
    }
    return gw_peers_at(peers, peers->slots[slot].count)->peer;
}

uint64_t gw_peers_bytes(const struct gw_peers *peers, uint32_t slots_touched) {
    if (peers->each_max == 0) {
        return 0;
    }
    return peers->touched * sizeof *peers->counts + gw_peers_chains(peers) * sizeof *peers->heads
         + gw_peers_levels(peers) * sizeof *peers->levels + slots_touched * sizeof *peers->slots;
}
