// What messages that are not yet whole hold of the pool: bounded in sum and for each address of strangers, so that
// whoever begins messages without ending them leaves room for everyone else's.
//
// Owner: its reactor; no thread but the reactor's. A message that lies whole in one receive buffer, or is inflated from
// one frame, never comes here.
//   bytes = sum over the connections' bytes <= bytes_max, but for one message that is alone
//   a connection is in the list, the longest under way first <=> its bytes are above 0 => its phase is OPEN, or ENDED
//   a peer's gathered_bytes (gw_peers.h) = sum over its connections that nobody vouched for <= peer_bytes_max
#ifndef GW_GATHERING_H
#define GW_GATHERING_H

#include "gw_gateway.h"

struct gw_reactor;
struct gw_conn;

struct gw_gathered {            // one connection's
    uint32_t bytes;             // the message so far, and the inflater that lives as long as it
    uint32_t older, newer;      // slots one higher, 0: none
};

struct gw_gathering {
    struct gw_gathered *connections;   // by slot, committed when touched
    uint32_t connections_max;
    uint32_t touched;                  // slots below this have been used at least once
    uint32_t oldest, newest;           // as in gw_gathered
    uint64_t bytes, bytes_max;
    uint64_t peer_bytes_max;
};

// 0 or -ENOMEM. Starts zeroed, and may be ended after a failure.
int gw_gathering_init(struct gw_gathering *gathering, const struct gw_config *config);
void gw_gathering_deinit(struct gw_gathering *gathering);

// The connection's message goes on and holds so much now. Beyond bytes_max those longest under way are failed with 1013
// until it fits. 0: this connection is the one to fail, for its address has its share or no other is older.
int gw_gathering_hold(struct gw_reactor *r, struct gw_conn *conn, uint64_t bytes);
// Its message is whole; harmless for a connection that holds none.
void gw_gathering_end(struct gw_reactor *r, struct gw_conn *conn);
// The message will never be whole: gives back all that was gathered.
void gw_gathering_drop(struct gw_reactor *r, struct gw_conn *conn);
// The connection no longer counts to its address.
void gw_gathering_trust(struct gw_reactor *r, const struct gw_conn *conn);

#endif
