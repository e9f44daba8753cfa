// Whose a socket is, as one number: an IPv4 address (also one mapped into IPv6) or the /64 of an IPv6 address, which is
// what one subscriber is given. 0 is nobody. Pure; any thread.
#ifndef GW_PEER_H
#define GW_PEER_H

#include <stdint.h>

struct sockaddr;

uint64_t gw_peer_of(const struct sockaddr *address);

#endif
