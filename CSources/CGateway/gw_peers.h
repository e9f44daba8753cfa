// How many connections each peer (gw_peer.h) has that nobody has vouched for yet, so that one address can't take every
// slot with sockets that never say who they are; and who of a few that together could has to make room for a newcomer.
// Constant time for everything; all memory is reserved at the start and committed when touched.
//
// Owner: one reactor, and its thread.
//   a slot is entered <=> slots[slot].count is not 0 <=> it is in its peer's list, the oldest first
//   a peer is in a chain, and in the level of its count <=> that is above 0; so there are never more peers than slots
//   total = the sum of all counts; no peer has more than most, and one has as many
#ifndef GW_PEERS_H
#define GW_PEERS_H

#include <stdint.h>

// Indexes here and below are kept one higher: 0 is none.
struct gw_peer_count {
    uint64_t peer;
    uint64_t gathered_bytes;   // gw_gathering.h
    uint32_t count;
    uint32_t next;             // in its chain, or of the free ones
    uint32_t oldest, newest;   // of its slots
    uint32_t above, below;     // neighbours in its level
};

struct gw_peer_slot {
    uint32_t count;            // its peer's
    uint32_t older, newer;     // of the same peer
};

struct gw_peers {
    struct gw_peer_count *counts;
    struct gw_peer_slot *slots;
    uint32_t *heads;     // of the chains
    uint32_t *levels;    // the first peer of each count
    uint64_t secret;     // against peers chosen so that they share a chain
    uint32_t slots_max;
    uint32_t chain_bits;
    uint32_t touched;    // counts below this have been used at least once
    uint32_t free;
    uint32_t each_max;   // 0: nothing is counted, and there is no memory
    uint32_t total, most;
};

enum { GW_PEERS_NOBODY = UINT32_MAX };

// 0 or -ENOMEM. Starts zeroed, and may be ended after a failure.
int gw_peers_init(struct gw_peers *peers, uint32_t slots_max, uint32_t each_max);
void gw_peers_deinit(struct gw_peers *peers);

// 0: the peer has its share already, and the slot is not entered. Peer 0, which is nobody, is always let in.
int gw_peers_enter(struct gw_peers *peers, uint32_t slot, uint64_t peer);
// Whether gw_peers_enter would let one more in.
int gw_peers_has_room(const struct gw_peers *peers, uint64_t peer);
// The slot that has to make room for one more of a peer: the oldest of a peer that has the most, if that is more than the
// newcomer's would have. GW_PEERS_NOBODY: it would not be fair to anyone.
uint32_t gw_peers_displaced_by(const struct gw_peers *peers, uint64_t peer);
// Harmless for a slot that is not entered.
void gw_peers_leave(struct gw_peers *peers, uint32_t slot);
// The count of the slot's peer; NULL: the slot is not entered.
struct gw_peer_count *gw_peers_find(struct gw_peers *peers, uint32_t slot);
// 0: the slot is not entered.
uint64_t gw_peers_of(const struct gw_peers *peers, uint32_t slot);

// What has been touched, with this many slots in use.
uint64_t gw_peers_bytes(const struct gw_peers *peers, uint32_t slots_touched);

#endif
