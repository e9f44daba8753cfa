// What permessage-deflate is agreed to be, offer by offer (RFC 7692 section 7.1), read from memory that ends at a
// guard page.
#include "gw_deflate.h"
#include "test.h"

struct row {
    const char *offers;
    uint8_t bits_max;
    const char *response;    // NULL: declined; "": malformed
};

static void check_rows(const struct row *rows, size_t count) {
    struct guarded memory = guarded_map(4096);
    for (size_t index = 0; index < count; index++) {
        const struct row *row = &rows[index];
        const size_t length = strlen(row->offers);
        const struct gw_span span = { .data = (const char *)guarded_copy(memory, row->offers, length),
                                      .length = (uint32_t)length };
        struct gw_deflate_terms terms = { .agreed = 0 };
        const enum gw_deflate_offers result = gw_deflate_negotiate(span, row->bits_max, &terms);
        if (row->response == NULL || row->response[0] == 0) {
            CHECK_ROW(row->offers, result == (row->response == NULL ? GW_DEFLATE_NONE : GW_DEFLATE_MALFORMED));
            CHECK_ROW(row->offers, row->response != NULL || !terms.agreed);
            continue;
        }
        char response[GW_DEFLATE_TERMS_BYTES_MAX];
        CHECK_ROW(row->offers, result == GW_DEFLATE_ACCEPTED && terms.agreed);
        gw_deflate_write_terms(&terms, response);
        CHECK_ROW(row->offers, strcmp(response, row->response) == 0);
    }
    guarded_unmap(memory);
}
#define CHECK_ROWS(rows) check_rows(rows, sizeof rows / sizeof rows[0])

#define PMD "permessage-deflate"

static void terms__decline_what_the_rfc_does_not_allow(void) {
    static const struct row rows[] = {
        { PMD "; server_max_window_bits", 15, NULL },
        { PMD "; server_max_window_bits=7", 15, NULL },
        { PMD "; server_max_window_bits=16", 15, NULL },
        { PMD "; server_max_window_bits=08", 15, NULL },
        { PMD "; server_max_window_bits=100", 15, NULL },
        { PMD "; server_max_window_bits=1x", 15, NULL },
        { PMD "; server_max_window_bits=\"20\"", 15, NULL },
        { PMD "; client_max_window_bits=0", 15, NULL },
        { PMD "; client_max_window_bits=7", 15, NULL },
        { PMD "; client_max_window_bits=16", 15, NULL },
        { PMD "; client_max_window_bits=-9", 15, NULL },
        { PMD "; client_max_window_bits=4294967305", 15, NULL },
        { PMD "; server_no_context_takeover=1", 15, NULL },
        { PMD "; client_no_context_takeover=true", 15, NULL },
        { PMD "; server_no_context_takeover; server_no_context_takeover", 15, NULL },
        { PMD "; client_no_context_takeover; client_no_context_takeover", 15, NULL },
        { PMD "; server_max_window_bits=10; server_max_window_bits=10", 15, NULL },
        { PMD "; client_max_window_bits; client_max_window_bits=10", 15, NULL },
        { PMD "; unknown", 15, NULL },
        { PMD "; unknown=1", 15, NULL },
        { PMD "; Server_No_Context_Takeover", 15, NULL },
        { "x-webkit-deflate-frame", 15, NULL },
        { PMD "2", 15, NULL },
        { "", 15, NULL },
        { " , ,\t", 15, NULL },
    };
    CHECK_ROWS(rows);
}

static void terms__are_malformed_outside_the_grammar(void) {
    static const struct row rows[] = {
        { PMD ";", 15, "" },
        { PMD "; ;", 15, "" },
        { PMD "; =9", 15, "" },
        { PMD "; server_max_window_bits=", 15, "" },
        { PMD "; server_max_window_bits=\"", 15, "" },
        { PMD "; server_max_window_bits=\"9", 15, "" },
        { PMD "; server_max_window_bits=\"\"", 15, "" },
        { PMD "; server_max_window_bits=\"9\\", 15, "" },
        { PMD "; server_max_window_bits=\"9 \"", 15, "" },
        { PMD "; server_max_window_bits=9 9", 15, "" },
        { PMD " " PMD, 15, "" },
        { "; a", 15, "" },
        { "=", 15, "" },
        { "a/b", 15, "" },
        { PMD ", @", 15, "" },
        { "caf\xC3\xA9", 15, "" },
    };
    CHECK_ROWS(rows);
}

static void terms__are_the_first_offer_that_can_be_kept(void) {
    static const struct row rows[] = {
        { PMD, 15, PMD },
        { PMD, 12, PMD "; server_max_window_bits=12" },
        { "\t" PMD " ; client_max_window_bits ", 15, PMD },
        { PMD "; client_max_window_bits", 12, PMD "; server_max_window_bits=12; client_max_window_bits=12" },
        { PMD "; client_max_window_bits=15", 15, PMD },
        { PMD "; client_max_window_bits=10", 15, PMD "; client_max_window_bits=10" },
        { PMD "; client_max_window_bits=10", 9, PMD "; server_max_window_bits=9; client_max_window_bits=9" },
        { PMD "; client_max_window_bits=8", 15, PMD "; client_max_window_bits=8" },
        { PMD "; server_max_window_bits=15", 15, PMD "; server_max_window_bits=15" },
        { PMD "; server_max_window_bits=8", 15, PMD "; server_max_window_bits=8" },
        { PMD "; server_max_window_bits=\"10\"", 15, PMD "; server_max_window_bits=10" },
        { PMD "; server_max_window_bits = \"1\\1\"", 15, PMD "; server_max_window_bits=11" },
        { PMD "; server_no_context_takeover", 15, PMD "; server_no_context_takeover" },
        { PMD "; client_no_context_takeover;server_no_context_takeover", 15,
          PMD "; server_no_context_takeover; client_no_context_takeover" },
        { "other, " PMD, 15, PMD },
        { "other; with=\"a_value\"; and=more," PMD, 15, PMD },
        { PMD "; server_max_window_bits=7, " PMD "; server_max_window_bits=9, " PMD, 15,
          PMD "; server_max_window_bits=9" },
        { PMD "; unknown, " PMD "; client_no_context_takeover", 15, PMD "; client_no_context_takeover" },
        { ", ," PMD ",", 15, PMD },
    };
    CHECK_ROWS(rows);
}

int main(void) {
    RUN(terms__decline_what_the_rfc_does_not_allow);
    RUN(terms__are_malformed_outside_the_grammar);
    RUN(terms__are_the_first_offer_that_can_be_kept);
    return 0;
}
