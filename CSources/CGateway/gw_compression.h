// permessage-deflate on a reactor's connections: who may keep a context between messages, and the two ways through a
// stream, from a DEFLATED piece to an event and from a send to the outbound queue.
//
// Owner: its reactor; no thread but the reactor's. A connection that did not agree on it has decoder.deflate 0 and
// touches nothing here.
//   reserved_bytes = sum of what the agreed connections may keep between messages <= bytes_max
//   a stream without takeover lives from a message's first piece to its last, in the pool and outside that sum
#ifndef GW_COMPRESSION_H
#define GW_COMPRESSION_H

#include "gw_deflate.h"
#include "gw_gateway.h"

struct gw_reactor;
struct gw_conn;

struct gw_compressed {                           // one connection's
    struct gw_deflate_stream *in, *out;          // NULL until needed
    struct gw_deflate_terms terms;
    uint32_t reserved_bytes;
};

struct gw_compression {
    struct gw_compressed *connections;           // by slot, committed when touched; NULL: it is off
    uint32_t connections_max;
    uint32_t threshold_bytes;                    // shorter messages are sent as they are
    uint64_t reserved_bytes, bytes_max;
    uint8_t level;
};

int gw_compression_init(struct gw_compression *compression, const struct gw_config *config);
void gw_compression_deinit(struct gw_compression *compression);

// The widest block a stream asks the pool for.
uint32_t gw_compression_block_bytes(const struct gw_config *config);

// Agrees for a connection: takes those takeovers back from terms for which the budget has no more room, ours first.
void gw_compression_open(struct gw_reactor *r, struct gw_conn *conn, struct gw_deflate_terms *terms);
// Both are harmless for a connection without. drop: no more is inflated, so what only the message under way needed goes.
void gw_compression_drop(struct gw_reactor *r, struct gw_conn *conn);
void gw_compression_close(struct gw_reactor *r, struct gw_conn *conn);

// Inflates a piece, and hands out the message once it is whole: returns what answering it in kind would queue. Fails
// the connection where the data or their size ask for it.
uint32_t gw_compression_piece(struct gw_reactor *r, struct gw_conn *conn, const struct gw_ws_item *item);

// Queues a message, compressed where that makes it shorter. 0 or GW_ENOBUFS.
int gw_compression_append(struct gw_reactor *r, struct gw_conn *conn, enum gw_ws_opcode opcode, const uint8_t *data,
                          uint32_t length);

#endif
