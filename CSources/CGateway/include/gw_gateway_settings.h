// What a reactor is created with: limits, deadlines, and what it speaks. gw_gateway.h, which includes this, says what
// a reactor is.
//
// Thread: none; plain values. Owner: the caller, whose strings gw_reactor_create copies.
// Units are the names' last words; a field out of its range makes gw_reactor_create return GW_EINVAL.
#ifndef GW_GATEWAY_SETTINGS_H
#define GW_GATEWAY_SETTINGS_H

#include <stdint.h>

#if defined(__clang__)
#pragma clang assume_nonnull begin
#endif

// What carries the sockets. AUTOMATIC takes io_uring where the machine allows it, else epoll.
enum gw_backend { GW_BACKEND_AUTOMATIC, GW_BACKEND_IO_URING, GW_BACKEND_EPOLL };

struct gw_config {
    uint32_t connections_max;       // slots; at the limit accepting pauses until one ends
    uint32_t message_bytes_max;     // a longer message is answered with 1009
    uint32_t fragments_max;         // a message in more fragments is answered with 1009
    uint32_t untrusted_per_peer_max;   // connections of one IPv4 address or IPv6 /64 that gw_conn_trust has not been
                                    // called for; one more is closed as it is accepted. 0: any number
    uint32_t untrusted_max;         // of all addresses together, and never the last of connections_max: one more takes
                                    // the place of the oldest of the address that has the most of them, if that is more
                                    // than its own would have, and is closed else. 0: any number
    uint32_t outbound_bytes_max;    // a connection's queue; with so much queued a send is GW_EFULL. From half
                                    // of it on its own messages wait, so that an echo never meets the limit
    uint64_t pool_bytes_max;        // all buffers, committed when touched; >= 128 KiB, >= 4 message_bytes_max
    uint32_t receive_buffers;       // at most so many in the kernel's ring, a power of two
    uint32_t receive_buffer_bytes;
    uint32_t handshake_ms;          // from accept to the end of the request's headers
    uint32_t idle_ms;               // without any byte from the peer; 0: never
    uint16_t idle_code;             // the close code that tells the peer so
    uint32_t write_stall_ms;        // without any byte taken by the peer while some are queued
    uint32_t close_ms;              // from our close frame to the peer's
    uint32_t batch_events_max;      // events a turn
    const char *path;               // the request's path, e.g. "/ws"; others get 404
    const char *_Nullable const *_Nullable subprotocols;  // offered in order of preference, NULL at the end
    uint8_t subprotocol_required;   // a client that offers none of them gets 400
    const char *_Nullable const *_Nullable origins;       // allowed Origin values, NULL at the end; NULL: any
    uint8_t backend;                // enum gw_backend
    const char *_Nullable tls_certificate_file;  // PEM, the server's certificate first: TLS 1.2 and 1.3 only
    const char *_Nullable tls_key_file;          // PEM. Both or none
    uint8_t tls_kernel;             // leave the encrypting of what is sent to the kernel, where it has kernel TLS
    uint32_t tls_handshakes_max;    // at a time; more wait in order, for handshake_ms from accept on as all do
    // permessage-deflate, RFC 7692. Limits on a message apply to what it is once inflated. Frames shared by many
    // connections are never compressed.
    uint8_t deflate;                // 0: every offer is declined
    uint8_t deflate_bits;           // 9 to 15: the widest window, where the peer leaves the choice to us
    uint8_t deflate_level;          // 1 (fast) to 9
    uint32_t deflate_threshold_bytes;   // >= 126: a shorter message is sent as it is
    uint64_t deflate_bytes_max;     // what all connections' contexts may hold between messages, at most a quarter of
                                    // the pool; who comes later gets no_context_takeover
};

// Defaults for every field; path is "/ws", no subprotocols, any origin.
void gw_config_init(struct gw_config *config);

#if defined(__clang__)
#pragma clang assume_nonnull end
#endif
#endif
