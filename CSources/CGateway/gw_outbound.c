// The outbound queue; the header says what it keeps and how small and shared frames differ.
// Owner: one connection. Thread: its reactor's.
#include "gw_outbound.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

enum {
    GW_COPY_BYTES_MAX = 512,             // a shared frame up to this is copied when it is not alone
    GW_GROWTH_BYTES_MAX = 32 * 1024,     // a longer queue does not get larger buffers
};

int gw_reference_slab_init(struct gw_reference_slab *slab, struct gw_pool *pool, uint32_t references_max,
                           struct gw_reactor *leases) {
    void *references = mmap(NULL, references_max * sizeof *slab->references, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (references == MAP_FAILED) {
        return -ENOMEM;
    }
    *slab = (struct gw_reference_slab){
        .pool = pool, .references = references, .references_max = references_max, .leases = leases,
    };
    return 0;
}

void gw_reference_slab_deinit(struct gw_reference_slab *slab) {
    munmap(slab->references, slab->references_max * sizeof *slab->references);
}

// NULL: all are taken. What it refers to is the caller's to say.
static struct gw_reference *gw_reference_acquire(struct gw_reference_slab *slab, uint8_t size_class, uint8_t *data,
                                                 uint32_t bytes) {
    struct gw_buf *buf = slab->free;
    if (buf != NULL) {
        slab->free = buf->next;
    } else if (slab->touched < slab->references_max) {
        buf = &slab->references[slab->touched++].buf;
    } else {
        return NULL;
    }
    *buf = (struct gw_buf){ .data = data, .capacity = bytes, .end = bytes, .count = 1, .size_class = size_class };
    return (struct gw_reference *)buf;
}

static inline void gw_outbound_link(struct gw_outbound *out, struct gw_buf *buf) {
    if (out->last == NULL) {
        out->first = buf;
    } else {
        out->last->next = buf;
    }
    out->last = buf;
    out->bytes += gw_buf_length(buf);
}

void gw_outbound_clear(struct gw_outbound *out, struct gw_reference_slab *slab) {
    while (out->first != NULL) {
        struct gw_buf *first = out->first;
        out->first = first->next;
        gw_outbound_release(slab, first);
    }
    if (out->pong != NULL) {
        gw_buf_release(slab->pool, out->pong);
    }
    *out = (struct gw_outbound){ .first = NULL };
}

// A buffer of its own that was filled is followed by a larger one, so that a burst of small frames needs few.
static uint32_t gw_outbound_growth(const struct gw_buf *last) {
    if (last == NULL || last->size_class >= GW_LEASE_CLASS) {
        return 0;
    }
    return last->capacity < GW_GROWTH_BYTES_MAX / 2 ? last->capacity * 2 : GW_GROWTH_BYTES_MAX;
}

uint8_t *gw_outbound_extend(struct gw_outbound *out, struct gw_reference_slab *slab, uint32_t bytes) {
    uint8_t *room = gw_outbound_extend_last(out, bytes);
    if (room != NULL) {
        return room;
    }
    const uint32_t growth = gw_outbound_growth(out->last);
    struct gw_buf *buf = gw_buf_acquire(slab->pool, bytes > growth ? bytes : growth);
    if (buf == NULL && bytes < growth) {
        buf = gw_buf_acquire(slab->pool, bytes);
    }
    if (buf == NULL) {
        return NULL;
    }
    buf->end = bytes;
    gw_outbound_link(out, buf);
    return buf->data;
}

int gw_outbound_append_bytes(struct gw_outbound *out, struct gw_reference_slab *slab, const void *data,
                             uint32_t length) {
    uint8_t *room = gw_outbound_extend(out, slab, length);
    if (room == NULL) {
        return GW_ENOBUFS;
    }
    memcpy(room, data, length);
    return 0;
}

int gw_outbound_put_back(struct gw_outbound *out, struct gw_reference_slab *slab, const uint8_t *data, uint32_t bytes) {
    const uint32_t most = gw_pool_buffer_bytes_max(slab->pool);
    const uint32_t piece_max = most < GW_GROWTH_BYTES_MAX ? most : GW_GROWTH_BYTES_MAX;
    // The last piece first.
    while (bytes > 0) {
        const uint32_t piece = bytes < piece_max ? bytes : piece_max;
        struct gw_buf *buf = gw_buf_acquire(slab->pool, piece);
        if (buf == NULL) {
            return GW_ENOBUFS;
        }
        bytes -= piece;
        memcpy(buf->data, data + bytes, piece);
        buf->end = piece;
        buf->next = out->first;
        out->first = buf;
        out->last = out->last != NULL ? out->last : buf;
        out->bytes += piece;
    }
    return 0;
}

int gw_outbound_append_shared(struct gw_outbound *out, struct gw_reference_slab *slab, struct gw_buf *buf) {
    const uint32_t length = gw_buf_length(buf);
    if (out->bytes > 0 && length <= GW_COPY_BYTES_MAX) {
        return gw_outbound_append_bytes(out, slab, buf->data + buf->start, length);
    }
    const int error = gw_outbound_append_part(out, slab, buf, buf->data + buf->start, length);
    if (error == 0) {
        gw_buf_retain(buf);
    }
    return error;
}

int gw_outbound_append_part(struct gw_outbound *out, struct gw_reference_slab *slab, struct gw_buf *of, uint8_t *data,
                            uint32_t bytes) {
    struct gw_reference *reference = gw_reference_acquire(slab, GW_REFERENCE_CLASS, data, bytes);
    if (reference == NULL) {
        return GW_ENOBUFS;
    }
    reference->of = of;
    gw_outbound_link(out, &reference->buf);
    return 0;
}

int gw_outbound_append_leased(struct gw_outbound *out, struct gw_reference_slab *slab, struct gw_payload *lease, uint8_t *data,
                              uint32_t bytes) {
    struct gw_reference *reference = gw_reference_acquire(slab, GW_LEASE_CLASS, data, bytes);
    if (reference == NULL) {
        return GW_ENOBUFS;
    }
    reference->lease = lease;
    gw_outbound_link(out, &reference->buf);
    return 0;
}

void gw_outbound_end_lease(struct gw_reference_slab *slab, struct gw_reference *reference) {
    if (slab->leases != NULL) {
        gw_payload_release(slab->leases, reference->lease);
    }
}

void gw_outbound_hold_pong(struct gw_outbound *out, struct gw_reference_slab *slab, const uint8_t *payload,
                           uint32_t length) {
    if (out->pong == NULL) {
        out->pong = gw_buf_acquire(slab->pool, GW_WS_SERVER_HEADER_BYTES_MAX + GW_WS_CONTROL_BYTES_MAX);
        if (out->pong == NULL) {
            return;
        }
    }
    uint8_t *frame = out->pong->data;
    const uint32_t header = (uint32_t)gw_ws_encode_header(frame, GW_WS_PONG, length);
    if (length > 0) {
        memcpy(frame + header, payload, length);
    }
    out->pong->end = header + length;
}

void gw_outbound_queue_pong(struct gw_outbound *out) {
    gw_outbound_link(out, out->pong);
    out->pong = NULL;
}

unsigned gw_outbound_peek(const struct gw_outbound *out, struct iovec *iov, unsigned max) {
    unsigned count = 0;
    uint32_t offset = out->offset;
    for (const struct gw_buf *buf = out->first; buf != NULL && count < max; buf = buf->next) {
        iov[count++] = (struct iovec){ .iov_base = buf->data + buf->start + offset,
                                       .iov_len = gw_buf_length(buf) - offset };
        offset = 0;
    }
    return count;
}

void gw_outbound_consume(struct gw_outbound *out, struct gw_reference_slab *slab, uint32_t bytes) {
    assert(bytes <= out->bytes);
    out->bytes -= bytes;
    while (bytes > 0) {
        struct gw_buf *first = out->first;
        const uint32_t left = gw_buf_length(first) - out->offset;
        if (bytes < left) {
            out->offset += bytes;
            return;
        }
        bytes -= left;
        out->offset = 0;
        out->first = first->next;
        if (out->first == NULL) {
            out->last = NULL;
        }
        gw_outbound_release(slab, first);
    }
}
