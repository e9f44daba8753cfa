// How many connections each peer (gw_peer.h) has that nobody has vouched for yet, so that one address can't take every
// slot with sockets that never say who they are. Constant time to enter and to leave; all memory is reserved at the
// start and committed when touched.
//
// Owner: one reactor, and its thread.
//   a slot is entered <=> of_slot[slot] is not 0 <=> its peer's count has it
//   a peer is in a chain <=> its count is above 0; so there are never more peers than slots
#ifndef GW_PEERS_H
#define GW_PEERS_H

#include <stdint.h>

struct gw_peer_count {
    uint64_t peer;
    uint64_t gathered_bytes;   // gw_gathering.h
    uint32_t count;
    uint32_t next;       // in its chain, or of the free ones
};

struct gw_peers {
    struct gw_peer_count *counts;
    uint32_t *heads;
    uint32_t *of_slot;
    uint64_t secret;     // against peers chosen so that they share a chain
    uint32_t slots;
    uint32_t chain_bits;
    uint32_t touched;    // counts below this have been used at least once
    uint32_t free;
    uint32_t each_max;   // 0: nothing is counted, and there is no memory
};

// 0 or -ENOMEM. Starts zeroed, and may be ended after a failure.
int gw_peers_init(struct gw_peers *peers, uint32_t slots, uint32_t each_max);
void gw_peers_deinit(struct gw_peers *peers);

// 0: the peer has its share already, and the slot is not entered. Peer 0, which is nobody, is always let in.
int gw_peers_enter(struct gw_peers *peers, uint32_t slot, uint64_t peer);
// Harmless for a slot that is not entered.
void gw_peers_leave(struct gw_peers *peers, uint32_t slot);
// The count of the slot's peer; NULL: the slot is not entered.
struct gw_peer_count *gw_peers_find(struct gw_peers *peers, uint32_t slot);
// 0: the slot is not entered.
uint64_t gw_peers_of(const struct gw_peers *peers, uint32_t slot);

// What has been touched, with this many slots in use.
uint64_t gw_peers_bytes(const struct gw_peers *peers, uint32_t slots_touched);

#endif
