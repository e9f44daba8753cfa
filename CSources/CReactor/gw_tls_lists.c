// The lists of the TLS layer: sockets that wait for something, each list in the order in which they came.
//
// A socket is in one list of a kind at most, and leaves all of them with its close: what was due to it is never its
// number's next owner's.
//
// Owner and thread: the reactor's, as gw_tls.h says.
#include <assert.h>

#include "gw_tls.h"

static enum gw_tls_list_kind gw_tls_kind_of(enum gw_tls_list_name name) {
    static const uint8_t kinds[GW_TLS_LISTS] = {
        [GW_TLS_READY] = GW_TLS_INPUT_LIST, [GW_TLS_STARVED] = GW_TLS_INPUT_LIST,
        [GW_TLS_REPORTS] = GW_TLS_SEND_LIST, [GW_TLS_DRY] = GW_TLS_SEND_LIST,
        [GW_TLS_WAITING] = GW_TLS_SLOT_LIST, [GW_TLS_HOLDING] = GW_TLS_HELD_LIST,
    };
    assert(name != GW_TLS_NO_LIST);
    return (enum gw_tls_list_kind)kinds[name];
}

void gw_tls_list(struct gw_io_tls *t, enum gw_tls_list_name name, struct gw_tls_socket *s) {
    const enum gw_tls_list_kind kind = gw_tls_kind_of(name);
    struct gw_tls_list *list = &t->lists[name];
    const uint32_t socket = gw_tls_number(t, s);
    if (s->in_list[kind] != GW_TLS_NO_LIST) {
        return;
    }
    s->in_list[kind] = (uint8_t)name;
    s->links[kind] = (struct gw_tls_link){ .earlier = list->last, .later = GW_NO_SOCKET };
    *(list->count == 0 ? &list->first : &t->sockets[list->last].links[kind].later) = socket;
    list->last = socket;
    list->count++;
}

void gw_tls_unlist(struct gw_io_tls *t, struct gw_tls_socket *s, enum gw_tls_list_kind kind) {
    struct gw_tls_list *list = &t->lists[s->in_list[kind]];
    const struct gw_tls_link link = s->links[kind];
    const uint32_t socket = gw_tls_number(t, s);
    if (s->in_list[kind] == GW_TLS_NO_LIST) {
        return;
    }
    *(list->first == socket ? &list->first : &t->sockets[link.earlier].links[kind].later) = link.later;
    *(list->last == socket ? &list->last : &t->sockets[link.later].links[kind].earlier) = link.earlier;
    list->count--;
    s->in_list[kind] = GW_TLS_NO_LIST;
}

void gw_tls_leave_lists(struct gw_io_tls *t, struct gw_tls_socket *s) {
    for (int kind = 0; kind < GW_TLS_LIST_KINDS; kind++) {
        gw_tls_unlist(t, s, (enum gw_tls_list_kind)kind);
    }
}

struct gw_tls_socket *gw_tls_take_first(struct gw_io_tls *t, enum gw_tls_list_name name) {
    if (t->lists[name].count == 0) {
        return NULL;
    }
    struct gw_tls_socket *s = &t->sockets[t->lists[name].first];
    gw_tls_unlist(t, s, gw_tls_kind_of(name));
    return s;
}
