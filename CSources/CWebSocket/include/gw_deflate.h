// permessage-deflate (RFC 7692) over zlib: what is agreed in the handshake, and the streams that inflate a message
// piece by piece and deflate a whole one. Knows no connection and no budget; who holds a stream for how long is
// the caller's affair.
//
// Owner: one connection; thread: its pool's. All memory of a stream, zlib's too, comes from the pool, in buffers whose
// number is fixed: nothing here calls malloc. A stream is whole or NULL.
#ifndef GW_DEFLATE_H
#define GW_DEFLATE_H

#include "gw_handshake.h"
#include "gw_pool.h"
#include "gw_ws.h"

// zlib's deflate has no window of 256 bytes: an endpoint that asks for one is sent nothing compressed.
enum { GW_DEFLATE_BITS_MIN = 8, GW_DEFLATE_BITS_SEND_MIN = 9, GW_DEFLATE_BITS_MAX = 15 };

enum gw_deflate_offers {
    GW_DEFLATE_NONE,        // none that can be accepted
    GW_DEFLATE_ACCEPTED,    // the first that can be is in *agreed
    GW_DEFLATE_MALFORMED,   // not in the grammar of RFC 6455 section 9.1: the handshake is to fail
};

// Reads one Sec-WebSocket-Extensions value. An offer of permessage-deflate with an unknown or doubled parameter, or
// a value that RFC 7692 section 7.1 does not allow, is declined; the next one is looked at. The agreement has both
// windows at most bits_max wide as far as the offer lets us ask for it, and context takeover wherever the offer does
// not rule it out.
enum gw_deflate_offers gw_deflate_negotiate(struct gw_span extensions, uint8_t bits_max, struct gw_deflate_terms *agreed);

// Writes the response header's value into out, which holds GW_DEFLATE_TERMS_BYTES_MAX bytes, and ends it with a zero.
enum { GW_DEFLATE_TERMS_BYTES_MAX = 160 };
void gw_deflate_write_terms(const struct gw_deflate_terms *terms, char *out);

struct gw_deflate_stream;

// bits: the peer's window. NULL: no buffer is free.
struct gw_deflate_stream *gw_inflater_create(struct gw_pool *pool, uint8_t bits);
// bits: ours, at least GW_DEFLATE_BITS_SEND_MIN; level: 1 (fast) to 9.
struct gw_deflate_stream *gw_deflater_create(struct gw_pool *pool, uint8_t bits, uint8_t level);
void gw_inflater_destroy(struct gw_deflate_stream *stream);
void gw_deflater_destroy(struct gw_deflate_stream *stream);

// What a stream takes of its pool.
uint32_t gw_inflater_bytes(uint8_t bits);
uint32_t gw_deflater_bytes(uint8_t bits);

enum gw_inflate_result {
    GW_INFLATE_MORE,       // the message goes on
    GW_INFLATE_WHOLE,      // *message is all of it, never NULL
    GW_INFLATE_INVALID,    // no deflate data, cut off within a block, or text that is no UTF-8: 1007
    GW_INFLATE_TOO_BIG,    // more than bytes_max: 1009
    GW_INFLATE_NOBUFS,     // the pool is empty: 1013
};

// Inflates one DEFLATED piece onto *message, a buffer that grows by size class (NULL before the first piece; the
// caller owns it always). Text is checked as it is inflated. Holds at most bytes_max, its size class and the next
// smaller one, whatever the data say. After anything but MORE and WHOLE the stream is to be destroyed.
enum gw_inflate_result gw_inflate(struct gw_deflate_stream *stream, const struct gw_ws_item *piece, uint64_t bytes_max,
                                  struct gw_buf **message);

// Deflates a whole message, which is not empty, into out; returns its bytes, 0 when they would be more than out_bytes.
// After 0, or if the result is not sent, the stream is to be reset: the peer has not seen what it refers to.
uint32_t gw_deflate(struct gw_deflate_stream *stream, const uint8_t *data, uint32_t length, uint8_t *out,
                    uint32_t out_bytes);
void gw_deflater_reset(struct gw_deflate_stream *stream);

#endif
