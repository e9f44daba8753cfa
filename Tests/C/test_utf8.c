// UTF-8 against a reference that follows the table of RFC 3629 section 4 word for word.
#include "gw_utf8.h"
#include "test.h"

struct byte_range { uint8_t low, high; };
static const struct {
    size_t length;
    struct byte_range bytes[4];
} forms[] = {
    { 1, { { 0x00, 0x7F } } },
    { 2, { { 0xC2, 0xDF }, { 0x80, 0xBF } } },
    { 3, { { 0xE0, 0xE0 }, { 0xA0, 0xBF }, { 0x80, 0xBF } } },
    { 3, { { 0xE1, 0xEC }, { 0x80, 0xBF }, { 0x80, 0xBF } } },
    { 3, { { 0xED, 0xED }, { 0x80, 0x9F }, { 0x80, 0xBF } } },
    { 3, { { 0xEE, 0xEF }, { 0x80, 0xBF }, { 0x80, 0xBF } } },
    { 4, { { 0xF0, 0xF0 }, { 0x90, 0xBF }, { 0x80, 0xBF }, { 0x80, 0xBF } } },
    { 4, { { 0xF1, 0xF3 }, { 0x80, 0xBF }, { 0x80, 0xBF }, { 0x80, 0xBF } } },
    { 4, { { 0xF4, 0xF4 }, { 0x80, 0x8F }, { 0x80, 0xBF }, { 0x80, 0xBF } } },
};

enum verdict { WHOLE, PARTIAL, BROKEN };

// How many bytes of the form the text begins with.
static size_t matching(size_t form, const uint8_t *text, size_t length) {
    size_t index = 0;
    while (index < length && index < forms[form].length && text[index] >= forms[form].bytes[index].low &&
           text[index] <= forms[form].bytes[index].high) {
        index++;
    }
    return index;
}

static enum verdict reference(const uint8_t *text, size_t length) {
    while (length > 0) {
        size_t taken = 0;
        for (size_t form = 0; form < sizeof forms / sizeof forms[0] && taken == 0; form++) {
            const size_t matched = matching(form, text, length);
            if (matched == forms[form].length) {
                taken = matched;
            } else if (matched == length) {
                return PARTIAL;
            }
        }
        if (taken == 0) {
            return BROKEN;
        }
        text += taken;
        length -= taken;
    }
    return WHOLE;
}

static enum verdict verdict_of(uint32_t state) {
    return state == GW_UTF8_START ? WHOLE : state == GW_UTF8_INVALID ? BROKEN : PARTIAL;
}

static void check_text(const uint8_t *text, size_t length) {
    CHECK(verdict_of(gw_utf8_feed(GW_UTF8_START, text, length)) == reference(text, length));
}

static void utf8__agrees_with_the_rfc_on_all_of_up_to_three_bytes(void) {
    for (uint32_t value = 0; value < 1u << 24; value++) {
        const uint8_t text[3] = { (uint8_t)(value >> 16), (uint8_t)(value >> 8), (uint8_t)value };
        check_text(text, 3);
        if (text[2] == 0) {
            check_text(text, 2);
            if (text[1] == 0) {
                check_text(text, 1);
            }
        }
    }
}

// The bytes at and beside every limit of the table stand for all between them.
static void utf8__agrees_with_the_rfc_on_four_bytes_at_every_limit(void) {
    static const uint8_t edges[] = {
        0x00, 0x7F, 0x80, 0x81, 0x8F, 0x90, 0x91, 0x9F, 0xA0, 0xA1, 0xBF, 0xC0, 0xC1, 0xC2, 0xDF, 0xE0, 0xE1,
        0xEC, 0xED, 0xEE, 0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xFF,
    };
    const size_t count = sizeof edges;
    for (size_t index = 0; index < count * count * count * count * count; index++) {
        uint8_t text[5];
        size_t rest = index;
        for (size_t at = 0; at < 5; at++, rest /= count) {
            text[at] = edges[rest % count];
        }
        check_text(text, 5);
        if (text[4] == 0) {
            check_text(text, 4);
        }
    }
}

static void utf8__takes_every_scalar_value_and_no_surrogate(void) {
    for (uint32_t value = 0; value <= 0x10FFFF; value++) {
        uint8_t text[4];
        size_t length = 0;
        if (value < 0x80) {
            text[length++] = (uint8_t)value;
        } else if (value < 0x800) {
            text[length++] = (uint8_t)(0xC0 | value >> 6);
        } else if (value < 0x10000) {
            text[length++] = (uint8_t)(0xE0 | value >> 12);
            text[length++] = (uint8_t)(0x80 | (value >> 6 & 63));
        } else {
            text[length++] = (uint8_t)(0xF0 | value >> 18);
            text[length++] = (uint8_t)(0x80 | (value >> 12 & 63));
            text[length++] = (uint8_t)(0x80 | (value >> 6 & 63));
        }
        if (value >= 0x80) {
            text[length++] = (uint8_t)(0x80 | (value & 63));
        }
        const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
        const uint32_t state = gw_utf8_feed(GW_UTF8_START, text, length);
        CHECK(state == (surrogate ? GW_UTF8_INVALID : GW_UTF8_START));
    }
}

static void utf8__never_leaves_the_invalid_state(void) {
    uint32_t state = gw_utf8_feed(GW_UTF8_START, (const uint8_t *)"\xFF", 1);
    CHECK(state == GW_UTF8_INVALID);
    for (unsigned byte = 0; byte < 256; byte++) {
        const uint8_t text[1] = { (uint8_t)byte };
        CHECK(gw_utf8_feed(state, text, 1) == GW_UTF8_INVALID);
    }
    CHECK(gw_utf8_feed(state, (const uint8_t *)"plain text of more than thirty-two bytes", 40) == GW_UTF8_INVALID);
    CHECK(gw_utf8_feed(state, (const uint8_t *)"", 0) == GW_UTF8_INVALID);
}

// Long texts, mostly ASCII, with a piece of something else at every place: whole, split in two at every place,
// and byte by byte, ending at the guard page.
static void utf8__is_the_same_however_it_is_split(void) {
    static const char *const pieces[] = {
        "", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80", "\xED\xA0\x80", "\xC0\x80", "\xF4\x90\x80\x80", "\xFF",
        "\x80", "\xE2\x82", "\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC\xE2\x82\xAC", "\xF0\x9F\x98",
    };
    enum { TEXT_MAX = 112 };
    struct guarded memory = guarded_map(TEXT_MAX);
    for (size_t piece = 0; piece < sizeof pieces / sizeof pieces[0]; piece++) {
        const size_t bytes = strlen(pieces[piece]);
        for (size_t length = bytes; length <= 97; length += 1 + length % 3) {
            for (size_t at = 0; at + bytes <= length; at++) {
                uint8_t plain[TEXT_MAX];
                memset(plain, 'a', length);
                memcpy(plain + at, pieces[piece], bytes);
                const uint8_t *text = guarded_copy(memory, plain, length);
                const enum verdict wanted = reference(text, length);
                CHECK(verdict_of(gw_utf8_feed(GW_UTF8_START, text, length)) == wanted);
                uint32_t state = GW_UTF8_START;
                for (size_t index = 0; index < length; index++) {
                    state = gw_utf8_feed(state, text + index, 1);
                    const uint32_t head = gw_utf8_feed(GW_UTF8_START, text, index + 1);
                    CHECK(state == head);
                    CHECK(verdict_of(gw_utf8_feed(head, text + index + 1, length - index - 1)) == wanted);
                }
            }
        }
    }
    guarded_unmap(memory);
}

int main(void) {
    RUN(utf8__agrees_with_the_rfc_on_all_of_up_to_three_bytes);
    RUN(utf8__agrees_with_the_rfc_on_four_bytes_at_every_limit);
    RUN(utf8__takes_every_scalar_value_and_no_surrogate);
    RUN(utf8__never_leaves_the_invalid_state);
    RUN(utf8__is_the_same_however_it_is_split);
    return 0;
}
