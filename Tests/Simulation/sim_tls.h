// TLS in the simulation: the layer under test over the simulated network, and OpenSSL's client between a simulated
// client's bytes and its wire.
//
// OpenSSL's random numbers follow from the seed, and the certificate's key is Ed25519, whose signatures have one length:
// so the lengths of all records follow from the seed, and with them a run. One thread.
#ifndef SIM_TLS_H
#define SIM_TLS_H

#include "sim.h"

struct ssl_st;

// The layer. Small: so few buffers and records a key that the bounds are met.
void sim_tls_seed(uint64_t seed);
struct gw_io *sim_tls_layer(struct sim_io *sim, int small);
// Takes all buffers that the layer still has, or gives back those that were taken.
void sim_tls_hoard(struct gw_io *layer);
void sim_tls_give_back(struct gw_io *layer);
// With no connection left.
void sim_tls_expect_nothing_held(const struct gw_io *layer);

// A client's. Of TLS 1.2 or 1.3, with a cipher that a seed picks.
struct ssl_st *sim_tls_create(uint64_t *random);
void sim_tls_free(struct ssl_st *tls);
// As sim_client_write and sim_client_read, of plaintext. Ciphertext that the wire has no room for waits.
uint32_t sim_tls_write(struct ssl_st *tls, struct sim_io *sim, uint32_t wire, const uint8_t *bytes, uint32_t length,
                       uint64_t *random);
int32_t sim_tls_read(struct ssl_st *tls, struct sim_io *sim, uint32_t wire, uint8_t *bytes, uint32_t room);
int sim_tls_has_written(struct ssl_st *tls);
// The end, signed.
void sim_tls_end(struct ssl_st *tls, struct sim_io *sim, uint32_t wire);

#endif
