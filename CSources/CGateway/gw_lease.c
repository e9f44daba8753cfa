// Payloads kept past their turn. A payload lies in a receive buffer or in one of the pool; a lease is a count on
// either, and the pointer that names it is the buffer's own record. At most half of the receive buffers can be
// leased at a time: the rest keeps the connections receiving.
// Owner of a lease: who acquired it. Thread: the reactor's.
#include "gw_reactor.h"

// The record of the receive buffer that a lease names; NULL: it names a buffer of the pool.
static struct gw_received *gw_lease_received(const struct gw_reactor *r, struct gw_payload *payload) {
    const uintptr_t offset = (uintptr_t)payload - (uintptr_t)r->received;
    return offset < r->io->receive_buffers * sizeof *r->received ? (struct gw_received *)payload : NULL;
}

struct gw_payload *gw_payload_acquire(struct gw_reactor *r, const struct gw_event *event) {
    if (event->lease != 0) {
        struct gw_buf *buf = r->event_bufs[event->lease - 1];
        gw_buf_retain(buf);
        return (struct gw_payload *)buf;
    }
    const uintptr_t offset = (uintptr_t)event->data - (uintptr_t)r->io->receive_memory;
    if (offset >= (uintptr_t)r->io->receive_buffers * r->io->receive_buffer_bytes) {
        return NULL;
    }
    struct gw_received *received = &r->received[offset / r->io->receive_buffer_bytes];
    if (received->leases == UINT16_MAX || (received->leases == 0 && r->leased >= r->io->receive_buffers / 2)) {
        return NULL;
    }
    if (received->leases++ == 0) {
        r->leased++;
        received->held = 1;   // the reactor's as well, until the turn that spends it has passed
    }
    return (struct gw_payload *)received;
}

void gw_payload_release(struct gw_reactor *r, struct gw_payload *payload) {
    struct gw_received *received = gw_lease_received(r, payload);
    if (received == NULL) {
        gw_buf_release(r->pool, (struct gw_buf *)payload);
        return;
    }
    if (--received->leases == 0) {
        r->leased--;
        if (!received->held) {
            const uint32_t buffer = (uint32_t)(received - r->received);
            gw_io_buffers_return(r->io, &buffer, 1);
        }
    }
}
