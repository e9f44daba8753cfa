// What messages that are not yet whole may hold; see the header.
// Owner and thread: the reactor's.
#include "gw_gathering.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

#include "gw_reactor.h"

enum {
    GW_GATHERING_SHARE = 2,         // one part in so many of the pool for all
    GW_GATHERING_PEER_SHARE = 16,   // and for the strangers of an address, which is one message at least
};

int gw_gathering_init(struct gw_gathering *gathering, const struct gw_config *config) {
    const uint64_t message = gw_buf_class_bytes(config->message_bytes_max) + gw_inflater_bytes(GW_DEFLATE_BITS_MAX);
    const uint64_t share = config->pool_bytes_max / GW_GATHERING_PEER_SHARE;
    *gathering = (struct gw_gathering){
        .connections_max = config->connections_max,
        .bytes_max = config->pool_bytes_max / GW_GATHERING_SHARE,
        .peer_bytes_max = share > message ? share : message,
    };
    void *memory = mmap(NULL, config->connections_max * sizeof *gathering->connections, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    gathering->connections = memory == MAP_FAILED ? NULL : memory;
    return memory == MAP_FAILED ? -ENOMEM : 0;
}

void gw_gathering_deinit(struct gw_gathering *gathering) {
    if (gathering->connections != NULL) {
        munmap(gathering->connections, gathering->connections_max * sizeof *gathering->connections);
    }
}

// The end that points to a neighbour's place in the list, or to the list's own.
static uint32_t *gw_gathering_newer_of(struct gw_gathering *g, uint32_t older) {
    return older != 0 ? &g->connections[older - 1].newer : &g->oldest;
}
static uint32_t *gw_gathering_older_of(struct gw_gathering *g, uint32_t newer) {
    return newer != 0 ? &g->connections[newer - 1].older : &g->newest;
}

// Returns the connection's peer; NULL: it counts to none.
static const struct gw_peer_count *gw_gathering_count(struct gw_reactor *r, uint32_t slot, uint32_t bytes) {
    struct gw_gathered *of = &r->gathering.connections[slot];
    struct gw_peer_count *peer = gw_peers_find(&r->peers, slot);
    r->gathering.bytes += (uint64_t)bytes - of->bytes;
    if (peer != NULL) {
        peer->gathered_bytes += (uint64_t)bytes - of->bytes;
    }
    of->bytes = bytes;
    return peer;
}

// Whoever is ENDED gives back the rest when its turn comes.
static void gw_gathering_evict(struct gw_reactor *r, struct gw_conn *conn) {
    if (conn->phase == GW_PHASE_OPEN) {
        gw_conn_fail(r, conn, GW_CLOSE_TRY_AGAIN);
    } else {
        gw_gathering_drop(r, conn);
    }
}

int gw_gathering_hold(struct gw_reactor *r, struct gw_conn *conn, uint64_t bytes) {
    struct gw_gathering *g = &r->gathering;
    const uint32_t slot = conn->slot;
    struct gw_gathered *of = &g->connections[slot];
    assert(bytes > 0 && bytes <= UINT32_MAX && conn->phase == GW_PHASE_OPEN);
    if (of->bytes == bytes) {
        return 1;
    }
    if (of->bytes == 0) {
        of->older = g->newest;
        of->newer = 0;
        *gw_gathering_newer_of(g, g->newest) = slot + 1;
        g->newest = slot + 1;
        g->touched = g->touched > slot ? g->touched : slot + 1;
    }
    const struct gw_peer_count *peer = gw_gathering_count(r, slot, (uint32_t)bytes);
    if (peer != NULL && peer->gathered_bytes > g->peer_bytes_max) {
        return 0;
    }
    while (g->bytes > g->bytes_max && g->oldest != slot + 1) {
        gw_gathering_evict(r, &r->conns[g->oldest - 1]);
    }
    return g->bytes <= g->bytes_max || g->newest == slot + 1;
}

void gw_gathering_end(struct gw_reactor *r, struct gw_conn *conn) {
    struct gw_gathering *g = &r->gathering;
    const uint32_t slot = conn->slot;
    struct gw_gathered *of = &g->connections[slot];
    if (of->bytes == 0) {
        return;
    }
    gw_gathering_count(r, slot, 0);
    *gw_gathering_newer_of(g, of->older) = of->newer;
    *gw_gathering_older_of(g, of->newer) = of->older;
}

void gw_gathering_drop(struct gw_reactor *r, struct gw_conn *conn) {
    gw_message_deinit(&conn->message, r->pool);
    gw_compression_drop(r, conn);
    gw_gathering_end(r, conn);
}

void gw_gathering_trust(struct gw_reactor *r, const struct gw_conn *conn) {
    struct gw_peer_count *peer = gw_peers_find(&r->peers, conn->slot);
    if (peer != NULL) {
        peer->gathered_bytes -= r->gathering.connections[conn->slot].bytes;
    }
}
