// The client's side of TLS, with OpenSSL over two memory BIOs: bytes in, bytes out, no socket of its own. A test
// certificate is taken as it is: the generator measures, it trusts nobody. One thread.
#ifndef BENCH_LOAD_TLS_H
#define BENCH_LOAD_TLS_H

#include <stddef.h>
#include <stdint.h>

struct ssl_st;

// A client's state with nothing sent yet.
struct ssl_st *tls_create(void);
void tls_destroy(struct ssl_st *tls);

// Goes on with the handshake. Returns 1 when it is done, 0 when it needs more from the peer.
int tls_handshake(struct ssl_st *tls);

void tls_received(struct ssl_st *tls, const uint8_t *data, size_t bytes);
// Takes plain bytes out: their number, 0 when there are none now.
size_t tls_read(struct ssl_st *tls, uint8_t *data, size_t room);
void tls_write(struct ssl_st *tls, const uint8_t *data, size_t bytes);

// What waits for the socket. It stays where it is until tls_sent, unless the handshake, a read or a write goes on.
size_t tls_pending(struct ssl_st *tls, const uint8_t **data);
void tls_sent(struct ssl_st *tls);

#endif
