// The streams of connections that compress; see the header.
// Owner and thread: the reactor's.
#include "gw_compression.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "gw_reactor.h"

int gw_compression_init(struct gw_compression *compression, const struct gw_config *config) {
    const uint64_t quarter = config->pool_bytes_max / 4;
    *compression = (struct gw_compression){
        .connections_max = config->connections_max,
        .threshold_bytes = config->deflate_threshold_bytes,
        .bytes_max = config->deflate_bytes_max < quarter ? config->deflate_bytes_max : quarter,
        .level = config->deflate_level,
    };
    if (!config->deflate) {
        return 0;
    }
    void *memory = mmap(NULL, config->connections_max * sizeof *compression->connections, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    compression->connections = memory == MAP_FAILED ? NULL : memory;
    return memory == MAP_FAILED ? -ENOMEM : 0;
}

void gw_compression_deinit(struct gw_compression *compression) {
    if (compression->connections != NULL) {
        munmap(compression->connections, compression->connections_max * sizeof *compression->connections);
    }
}

uint32_t gw_compression_block_bytes(const struct gw_config *config) {
    if (!config->deflate) {
        return 0;
    }
    const uint32_t deflater = 2u << config->deflate_bits, inflater = 1u << GW_DEFLATE_BITS_MAX;
    return deflater > inflater ? deflater : inflater;
}

static struct gw_compressed *gw_compressed_of(const struct gw_reactor *r, const struct gw_conn *conn) {
    return &r->compression.connections[conn->slot];
}

// False, and nothing is reserved: the budget does not have it.
static int gw_compression_reserve(struct gw_compression *compression, struct gw_compressed *of, uint32_t bytes) {
    if (compression->reserved_bytes + bytes > compression->bytes_max) {
        return 0;
    }
    compression->reserved_bytes += bytes;
    of->reserved_bytes += bytes;
    return 1;
}

void gw_compression_open(struct gw_reactor *r, struct gw_conn *conn, struct gw_deflate_terms *terms) {
    struct gw_compressed *of = gw_compressed_of(r, conn);
    *of = (struct gw_compressed){ .in = NULL };
    if (terms->client_takeover) {
        terms->client_takeover =
            (uint8_t)gw_compression_reserve(&r->compression, of, gw_inflater_bytes(terms->client_bits));
    }
    if (terms->server_takeover) {
        terms->server_takeover = terms->server_bits >= GW_DEFLATE_BITS_SEND_MIN
            && gw_compression_reserve(&r->compression, of, gw_deflater_bytes(terms->server_bits));
    }
    of->terms = *terms;
}

static void gw_compressed_end_in(struct gw_compressed *of) {
    if (of->in != NULL) {
        gw_inflater_destroy(of->in);
        of->in = NULL;
    }
}

static void gw_compressed_end_out(struct gw_compressed *of) {
    if (of->out != NULL) {
        gw_deflater_destroy(of->out);
        of->out = NULL;
    }
}

void gw_compression_drop(struct gw_reactor *r, struct gw_conn *conn) {
    if (conn->decoder.deflate) {
        gw_compressed_end_in(gw_compressed_of(r, conn));
    }
}

void gw_compression_close(struct gw_reactor *r, struct gw_conn *conn) {
    if (!conn->decoder.deflate) {
        return;
    }
    conn->decoder.deflate = 0;
    struct gw_compressed *of = gw_compressed_of(r, conn);
    gw_compressed_end_in(of);
    gw_compressed_end_out(of);
    r->compression.reserved_bytes -= of->reserved_bytes;
    *of = (struct gw_compressed){ .in = NULL };
}

static uint32_t gw_compression_deliver(struct gw_reactor *r, struct gw_conn *conn, uint8_t opcode) {
    struct gw_buf *buf = conn->message.gathered;
    conn->message.gathered = NULL;
    struct gw_event *event = gw_reactor_push_event(r, conn->id, GW_EVENT_MESSAGE, opcode);
    event->data = buf->data;
    event->length = buf->end;
    gw_reactor_lie_in(r, event, buf);
    gw_reactor_spend_buf(r, buf);
    r->stats.messages_in++;
    return (uint32_t)event->length + GW_WS_SERVER_HEADER_BYTES_MAX;
}

static enum gw_inflate_result gw_compression_inflate(struct gw_reactor *r, struct gw_conn *conn,
                                                     const struct gw_compressed *of, const struct gw_ws_item *item) {
    struct gw_buf **message = &conn->message.gathered;
    const uint32_t before = *message != NULL ? (*message)->end : 0;
    const enum gw_inflate_result result = gw_inflate(of->in, item, r->codec.message_bytes_max, message);
    const uint32_t after = *message != NULL ? (*message)->end : 0;
    r->stats.bytes_inflated += after - before;
    if (result != GW_INFLATE_MORE) {
        return result;
    }
    const uint32_t stream = of->terms.client_takeover ? 0 : gw_inflater_bytes(of->terms.client_bits);
    const uint64_t held = (uint64_t)stream + (*message != NULL ? (*message)->capacity : 0);
    return gw_gathering_hold(r, conn, held) ? GW_INFLATE_MORE : GW_INFLATE_NOBUFS;
}

uint32_t gw_compression_piece(struct gw_reactor *r, struct gw_conn *conn, const struct gw_ws_item *item) {
    if (conn->phase != GW_PHASE_OPEN) {
        return 0;
    }
    struct gw_compressed *of = gw_compressed_of(r, conn);
    if (of->in == NULL) {
        of->in = gw_inflater_create(r->pool, of->terms.client_bits);
    }
    enum gw_inflate_result result = GW_INFLATE_NOBUFS;
    if (of->in != NULL) {
        result = gw_compression_inflate(r, conn, of, item);
    }
    if (result == GW_INFLATE_MORE) {
        return 0;
    }
    gw_gathering_end(r, conn);
    if (result != GW_INFLATE_WHOLE || !of->terms.client_takeover) {
        gw_compressed_end_in(of);
    }
    switch (result) {
    case GW_INFLATE_MORE:
    case GW_INFLATE_WHOLE: return gw_compression_deliver(r, conn, item->opcode);
    case GW_INFLATE_INVALID: gw_conn_fail(r, conn, GW_CLOSE_DATA); break;
    case GW_INFLATE_TOO_BIG: gw_conn_fail(r, conn, GW_CLOSE_TOO_BIG); break;
    case GW_INFLATE_NOBUFS: gw_conn_fail(r, conn, GW_CLOSE_TRY_AGAIN); break;
    }
    return 0;
}

// Deflates into a buffer of its own, because the queue wants to know the length first, and copies from there.
// 0: queued. 1: to be sent as it is. GW_ENOBUFS.
static int gw_compressed_append(struct gw_reactor *r, struct gw_conn *conn, struct gw_deflate_stream *out,
                                enum gw_ws_opcode opcode, const uint8_t *data, uint32_t length) {
    struct gw_buf *scratch = gw_buf_acquire(r->pool, length);
    if (scratch == NULL) {
        return 1;
    }
    int result = 1;
    const uint32_t bytes = gw_deflate(out, data, length, scratch->data, length);
    if (bytes > 0) {
        uint8_t *room = gw_outbound_extend(&conn->out, &r->references, (uint32_t)gw_ws_header_bytes(bytes) + bytes);
        result = room != NULL ? 0 : GW_ENOBUFS;
        if (room != NULL) {
            const size_t header = gw_ws_encode_header(room, opcode, bytes);
            gw_ws_mark_deflated(room);
            memcpy(room + header, scratch->data, bytes);
        }
    }
    if (result != 0) {
        gw_deflater_reset(out);
    }
    gw_buf_release(r->pool, scratch);
    return result;
}

int gw_compression_append(struct gw_reactor *r, struct gw_conn *conn, enum gw_ws_opcode opcode, const uint8_t *data,
                          uint32_t length) {
    struct gw_compressed *of = gw_compressed_of(r, conn);
    if (of->out == NULL && of->terms.server_bits >= GW_DEFLATE_BITS_SEND_MIN) {
        of->out = gw_deflater_create(r->pool, of->terms.server_bits, r->compression.level);
    }
    int result = 1;
    if (of->out != NULL) {
        result = gw_compressed_append(r, conn, of->out, opcode, data, length);
        if (!of->terms.server_takeover) {
            gw_compressed_end_out(of);
        }
    }
    return result <= 0 ? result : gw_outbound_append_frame(&conn->out, &r->references, opcode, data, length);
}
