// The negotiation of permessage-deflate (RFC 7692 section 7.1): offers in, terms out. No allocation, no stream.
//
// extensions = offer *( "," offer ); offer = token *( ";" token [ "=" ( token / quoted-string ) ] ), RFC 6455
// section 9.1. A quoted value must be a token once its quotes and backslashes are gone.
//
// Pure; any thread.
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "gw_deflate.h"
#include "gw_token.h"

enum { VALUE_CHARS_MAX = 2 };   // no parameter of ours has a longer one

// What is still to be read.
struct cursor { const char *at, *end; };

// Of one offer.
struct offer {
    bool is_ours, is_bad;                // bad: ours, but to be declined
    bool server_no_takeover, client_no_takeover;
    bool has_server_bits, has_client_bits;
    uint8_t server_bits, client_bits;    // 0: not given a value
};

struct value {
    bool is_given;
    uint32_t length;                     // of the whole value, which may be more than is kept
    char chars[VALUE_CHARS_MAX];
};

static void skip_blanks(struct cursor *cursor) {
    while (cursor->at < cursor->end && (*cursor->at == ' ' || *cursor->at == '\t')) {
        cursor->at++;
    }
}

static bool take_char(struct cursor *cursor, char wanted) {
    skip_blanks(cursor);
    if (cursor->at == cursor->end || *cursor->at != wanted) {
        return false;
    }
    cursor->at++;
    return true;
}

static bool take_token(struct cursor *cursor, struct gw_span *token) {
    skip_blanks(cursor);
    token->data = cursor->at;
    while (cursor->at < cursor->end && gw_is_token_byte((uint8_t)*cursor->at)) {
        cursor->at++;
    }
    token->length = (uint32_t)(cursor->at - token->data);
    return token->length > 0;
}

static void keep_char(struct value *value, char byte) {
    if (value->length < VALUE_CHARS_MAX) {
        value->chars[value->length] = byte;
    }
    value->length++;
}

static bool take_quoted(struct cursor *cursor, struct value *value) {
    while (cursor->at < cursor->end && *cursor->at != '"') {
        if (*cursor->at == '\\' && ++cursor->at == cursor->end) {
            return false;
        }
        if (!gw_is_token_byte((uint8_t)*cursor->at)) {
            return false;
        }
        keep_char(value, *cursor->at++);
    }
    return cursor->at++ < cursor->end && value->length > 0;
}

// What may follow a parameter's name; false: malformed.
static bool take_value(struct cursor *cursor, struct value *value) {
    *value = (struct value){ .is_given = take_char(cursor, '=') };
    if (!value->is_given) {
        return true;
    }
    if (take_char(cursor, '"')) {
        return take_quoted(cursor, value);
    }
    struct gw_span token;
    if (!take_token(cursor, &token)) {
        return false;
    }
    for (uint32_t index = 0; index < token.length; index++) {
        keep_char(value, token.data[index]);
    }
    return true;
}

// 8 to 15, without a leading zero; else 0.
static uint8_t window_bits(const struct value *value) {
    const char *chars = value->chars;
    if (value->length == 1) {
        return chars[0] == '8' || chars[0] == '9' ? (uint8_t)(chars[0] - '0') : 0;
    }
    return value->length == 2 && chars[0] == '1' && chars[1] >= '0' && chars[1] <= '5' ? (uint8_t)(10 + chars[1] - '0')
                                                                                       : 0;
}

static bool is_named(struct gw_span token, const char *name) {
    return token.length == strlen(name) && memcmp(token.data, name, token.length) == 0;
}

// Sets a parameter that may be given once and has no value.
static bool set_flag(bool *flag, const struct value *value) {
    const bool is_good = !*flag && !value->is_given;
    *flag = true;
    return is_good;
}

static bool set_bits(bool *has, uint8_t *bits, const struct value *value) {
    *bits = window_bits(value);
    const bool is_good = !*has && (!value->is_given || *bits != 0);
    *has = true;
    return is_good;
}

// False: the offer is to be declined.
static bool take_parameter(struct offer *offer, struct gw_span name, const struct value *value) {
    if (is_named(name, "server_no_context_takeover")) {
        return set_flag(&offer->server_no_takeover, value);
    }
    if (is_named(name, "client_no_context_takeover")) {
        return set_flag(&offer->client_no_takeover, value);
    }
    if (is_named(name, "server_max_window_bits")) {
        return value->is_given && set_bits(&offer->has_server_bits, &offer->server_bits, value);
    }
    return is_named(name, "client_max_window_bits") && set_bits(&offer->has_client_bits, &offer->client_bits, value);
}

// False: malformed.
static bool take_offer(struct cursor *cursor, struct offer *offer) {
    struct gw_span name;
    if (!take_token(cursor, &name)) {
        return false;
    }
    *offer = (struct offer){ .is_ours = is_named(name, "permessage-deflate") };
    while (take_char(cursor, ';')) {
        struct value value;
        if (!take_token(cursor, &name) || !take_value(cursor, &value)) {
            return false;
        }
        offer->is_bad |= !take_parameter(offer, name, &value);
    }
    return true;
}

static uint8_t narrower(uint8_t bits, uint8_t other) { return bits < other ? bits : other; }

static struct gw_deflate_terms accept(const struct offer *offer, uint8_t bits_max) {
    const uint8_t server = offer->has_server_bits ? offer->server_bits : GW_DEFLATE_BITS_MAX;
    const uint8_t client = offer->client_bits != 0 ? offer->client_bits : GW_DEFLATE_BITS_MAX;
    return (struct gw_deflate_terms){
        .agreed = 1,
        .server_takeover = !offer->server_no_takeover,
        .client_takeover = !offer->client_no_takeover,
        .server_bits = narrower(server, bits_max),
        .server_bits_named = offer->has_server_bits || bits_max < GW_DEFLATE_BITS_MAX,
        // Who does not say client_max_window_bits may not be asked for it.
        .client_bits = offer->has_client_bits ? narrower(client, bits_max) : GW_DEFLATE_BITS_MAX,
    };
}

enum gw_deflate_offers gw_deflate_negotiate(struct gw_span extensions, uint8_t bits_max, struct gw_deflate_terms *agreed) {
    struct cursor cursor = { .at = extensions.data, .end = extensions.data + extensions.length };
    enum gw_deflate_offers result = GW_DEFLATE_NONE;
    do {
        // Empty elements of a list are allowed (RFC 9110 section 5.6.1).
        skip_blanks(&cursor);
        if (cursor.at == cursor.end || *cursor.at == ',') {
            continue;
        }
        struct offer offer;
        if (!take_offer(&cursor, &offer)) {
            return GW_DEFLATE_MALFORMED;
        }
        if (result == GW_DEFLATE_NONE && offer.is_ours && !offer.is_bad) {
            *agreed = accept(&offer, bits_max);
            result = GW_DEFLATE_ACCEPTED;
        }
    } while (take_char(&cursor, ','));
    return cursor.at == cursor.end ? result : GW_DEFLATE_MALFORMED;
}

void gw_deflate_write_terms(const struct gw_deflate_terms *terms, char *out) {
    char server_bits[] = "; server_max_window_bits=15", client_bits[] = "; client_max_window_bits=15";
    snprintf(server_bits, sizeof server_bits, "; server_max_window_bits=%u", terms->server_bits & 15u);
    snprintf(client_bits, sizeof client_bits, "; client_max_window_bits=%u", terms->client_bits & 15u);
    snprintf(out, GW_DEFLATE_TERMS_BYTES_MAX, "permessage-deflate%s%s%s%s",
             terms->server_takeover ? "" : "; server_no_context_takeover",
             terms->client_takeover ? "" : "; client_no_context_takeover",
             terms->server_bits_named ? server_bits : "",
             terms->client_bits < GW_DEFLATE_BITS_MAX ? client_bits : "");
}
