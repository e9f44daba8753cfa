// The streams of permessage-deflate; see the header. A stream is one buffer of the pool with this struct in it, and
// one more for each block that zlib asks for, of which there are at most five.
// Owner: one connection. Thread: its pool's.
#include "gw_deflate.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#define ZLIB_CONST
#include <zlib.h>

#include "gw_utf8.h"

enum {
    PARTS_MAX = 5,
    INFLATE_STATE_BYTES = 8192, DEFLATE_STATE_BYTES = 8192,   // zlib's own, rounded up to a size class
    AT_BLOCK_START = 128, BITS_UNUSED = 63,                   // of z_stream.data_type after inflate
    TAIL_BYTES = 4,
};

// Ends every flush, is left out on the wire and put back by the receiver (RFC 7692 section 7.2).
static const uint8_t tail[TAIL_BYTES] = { 0x00, 0x00, 0xFF, 0xFF };

struct gw_deflate_stream {
    z_stream z;
    struct gw_pool *pool;
    struct gw_buf *self;
    struct gw_buf *parts[PARTS_MAX];
    uint32_t utf8;     // gw_utf8.h state of the text under way
};

static void *part_acquire(void *opaque, unsigned count, unsigned bytes) {
    struct gw_deflate_stream *stream = opaque;
    for (unsigned index = 0; index < PARTS_MAX; index++) {
        if (stream->parts[index] == NULL) {
            stream->parts[index] = gw_buf_acquire(stream->pool, count * bytes);
            return stream->parts[index] != NULL ? stream->parts[index]->data : NULL;
        }
    }
    return NULL;
}

static void part_release(void *opaque, void *data) {
    struct gw_deflate_stream *stream = opaque;
    for (unsigned index = 0; index < PARTS_MAX; index++) {
        if (stream->parts[index] != NULL && stream->parts[index]->data == data) {
            gw_buf_release(stream->pool, stream->parts[index]);
            stream->parts[index] = NULL;
            return;
        }
    }
}

static struct gw_deflate_stream *stream_create(struct gw_pool *pool) {
    struct gw_buf *self = gw_buf_acquire(pool, sizeof(struct gw_deflate_stream));
    if (self == NULL) {
        return NULL;
    }
    struct gw_deflate_stream *stream = (struct gw_deflate_stream *)self->data;
    *stream = (struct gw_deflate_stream){ .pool = pool, .self = self, .utf8 = GW_UTF8_START };
    stream->z.zalloc = part_acquire;
    stream->z.zfree = part_release;
    stream->z.opaque = stream;
    return stream;
}

// zlib has given back its parts.
static void stream_destroy(struct gw_deflate_stream *stream) {
    struct gw_pool *pool = stream->pool;
    gw_buf_release(pool, stream->self);
}

// 15 bits take zlib's usual level of 8; the tables shrink with the window.
static int memory_level(uint8_t bits) { return bits - 7; }

struct gw_deflate_stream *gw_inflater_create(struct gw_pool *pool, uint8_t bits) {
    assert(bits >= GW_DEFLATE_BITS_MIN && bits <= GW_DEFLATE_BITS_MAX);
    struct gw_deflate_stream *stream = stream_create(pool);
    // Senders on zlib take 9 bits where 8 were agreed.
    if (stream != NULL && inflateInit2(&stream->z, -(bits > 9 ? bits : 9)) != Z_OK) {
        stream_destroy(stream);
        return NULL;
    }
    return stream;
}

struct gw_deflate_stream *gw_deflater_create(struct gw_pool *pool, uint8_t bits, uint8_t level) {
    assert(bits >= GW_DEFLATE_BITS_SEND_MIN && bits <= GW_DEFLATE_BITS_MAX && level >= 1 && level <= 9);
    struct gw_deflate_stream *stream = stream_create(pool);
    if (stream != NULL
        && deflateInit2(&stream->z, level, Z_DEFLATED, -bits, memory_level(bits), Z_DEFAULT_STRATEGY) != Z_OK) {
        stream_destroy(stream);
        return NULL;
    }
    return stream;
}

void gw_inflater_destroy(struct gw_deflate_stream *stream) {
    inflateEnd(&stream->z);
    stream_destroy(stream);
}

void gw_deflater_destroy(struct gw_deflate_stream *stream) {
    deflateEnd(&stream->z);
    stream_destroy(stream);
}

void gw_deflater_reset(struct gw_deflate_stream *stream) { deflateReset(&stream->z); }

uint32_t gw_inflater_bytes(uint8_t bits) {
    return gw_buf_class_bytes(sizeof(struct gw_deflate_stream)) + INFLATE_STATE_BYTES
           + gw_buf_class_bytes(1u << (bits > 9 ? bits : 9));
}

// The window, the chains and the hash heads have two bytes a place, the pending output four a symbol.
uint32_t gw_deflater_bytes(uint8_t bits) {
    const int level = memory_level(bits);
    return gw_buf_class_bytes(sizeof(struct gw_deflate_stream)) + DEFLATE_STATE_BYTES
           + 2 * gw_buf_class_bytes(2u << bits) + gw_buf_class_bytes(2u << (level + 7))
           + gw_buf_class_bytes(4u << (level + 6));
}

// Room behind what has been inflated; false: no buffer is free.
static bool make_room(struct gw_pool *pool, uint64_t bytes_hint, struct gw_buf **message) {
    struct gw_buf *old = *message;
    if (old != NULL && gw_buf_room(old) > 0) {
        return true;
    }
    const uint64_t largest = gw_pool_buffer_bytes_max(pool);
    const uint64_t wanted = old != NULL ? (uint64_t)old->capacity + 1 : bytes_hint;
    struct gw_buf *larger = gw_buf_acquire(pool, (uint32_t)(wanted < largest ? wanted : largest));
    if (larger == NULL) {
        return false;
    }
    if (old != NULL) {
        memcpy(larger->data, old->data, old->end);
        larger->end = old->end;
        gw_buf_release(pool, old);
    }
    *message = larger;
    return true;
}

// One call of inflate, onto the message. At its limit a single byte elsewhere tells whether there is more.
static enum gw_inflate_result inflate_some(struct gw_deflate_stream *stream, uint64_t bytes_max, uint64_t bytes_hint,
                                           bool is_text, struct gw_buf **message) {
    z_stream *z = &stream->z;
    uint8_t surplus;
    const bool is_full = *message != NULL && (*message)->end >= bytes_max;
    if (!is_full && !make_room(stream->pool, bytes_hint, message)) {
        return GW_INFLATE_NOBUFS;
    }
    struct gw_buf *into = *message;
    const uint64_t left = bytes_max - into->end, room = gw_buf_room(into);
    const uint32_t space = is_full ? 1 : (uint32_t)(left < room ? left : room);
    z->next_out = is_full ? &surplus : into->data + into->end;
    z->avail_out = space;
    const int result = inflate(z, Z_SYNC_FLUSH);
    const uint32_t brought = space - z->avail_out;
    if (result == Z_MEM_ERROR) {
        return GW_INFLATE_NOBUFS;
    }
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
        return GW_INFLATE_INVALID;
    }
    if (is_full && brought > 0) {
        return GW_INFLATE_TOO_BIG;
    }
    if (is_text && brought > 0) {
        stream->utf8 = gw_utf8_feed(stream->utf8, into->data + into->end, brought);
        if (stream->utf8 == GW_UTF8_INVALID) {
            return GW_INFLATE_INVALID;
        }
    }
    into->end += brought;
    // A block marked as the last ends nothing here (RFC 7692 section 7.2.3.4): more follows, window and all.
    if (result == Z_STREAM_END && inflateResetKeep(z) != Z_OK) {
        return GW_INFLATE_INVALID;
    }
    return GW_INFLATE_MORE;
}

// Feeds compressed bytes until they are used up and have given all they hold.
static enum gw_inflate_result feed(struct gw_deflate_stream *stream, const uint8_t *data, uint64_t length,
                                   uint64_t bytes_max, bool is_text, struct gw_buf **message) {
    z_stream *z = &stream->z;
    const uint64_t guess = length * 4 < bytes_max ? length * 4 : bytes_max;
    z->next_in = data;
    z->avail_in = (unsigned)length;
    do {
        const enum gw_inflate_result result = inflate_some(stream, bytes_max, guess, is_text, message);
        if (result != GW_INFLATE_MORE) {
            return result;
        }
    } while (z->avail_in > 0 || z->avail_out == 0);
    return GW_INFLATE_MORE;
}

enum gw_inflate_result gw_inflate(struct gw_deflate_stream *stream, const struct gw_ws_item *piece, uint64_t bytes_max,
                                  struct gw_buf **message) {
    const bool is_text = piece->opcode == GW_WS_TEXT;
    assert(piece->length <= UINT32_MAX);
    if (piece->first) {
        stream->utf8 = GW_UTF8_START;
    }
    enum gw_inflate_result result = feed(stream, piece->data, piece->length, bytes_max, is_text, message);
    if (result != GW_INFLATE_MORE || !piece->last) {
        return result;
    }
    result = feed(stream, tail, sizeof tail, bytes_max, is_text, message);
    if (result != GW_INFLATE_MORE) {
        return result;
    }
    // The tail closes a block only if the data ended where one may begin.
    const int state = stream->z.data_type;
    const bool is_whole = (state & AT_BLOCK_START) != 0 && (state & BITS_UNUSED) == 0 && stream->utf8 == GW_UTF8_START;
    return is_whole ? GW_INFLATE_WHOLE : GW_INFLATE_INVALID;
}

uint32_t gw_deflate(struct gw_deflate_stream *stream, const uint8_t *data, uint32_t length, uint8_t *out,
                    uint32_t out_bytes) {
    z_stream *z = &stream->z;
    z->next_in = data;
    z->avail_in = length;
    z->next_out = out;
    z->avail_out = out_bytes;
    // With no room left there may be more to come: only what ends short of the end is known to be whole.
    if (deflate(z, Z_SYNC_FLUSH) != Z_OK || z->avail_out == 0) {
        return 0;
    }
    const uint32_t bytes = out_bytes - z->avail_out;
    assert(bytes > TAIL_BYTES && memcmp(out + bytes - TAIL_BYTES, tail, TAIL_BYTES) == 0);
    return bytes - TAIL_BYTES;
}
