// The channel of lockstep_clients.h over TLS: OpenSSL's client between its bytes and the socket's. One thread.
#ifndef BENCH_LOCKSTEP_TLS_H
#define BENCH_LOCKSTEP_TLS_H

#include "lockstep_clients.h"

extern const struct lockstep_channel lockstep_tls;
void lockstep_tls_end(void);

#endif
