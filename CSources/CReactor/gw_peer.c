// See the header.
// Pure; any thread.
#include "gw_peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

// ::/16 and the likes of it are given to nobody, so no /64 looks like this.
static uint64_t gw_peer_of_v4(uint32_t network_order) { return (uint64_t)1 << 32 | ntohl(network_order); }

uint64_t gw_peer_of(const struct sockaddr *address) {
    if (address->sa_family == AF_INET) {
        struct sockaddr_in v4;
        memcpy(&v4, address, sizeof v4);
        return gw_peer_of_v4(v4.sin_addr.s_addr);
    }
    if (address->sa_family != AF_INET6) {
        return 0;
    }
    struct sockaddr_in6 v6;
    memcpy(&v6, address, sizeof v6);
    uint32_t words[4];
    memcpy(words, &v6.sin6_addr, sizeof words);
    if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
        return gw_peer_of_v4(words[3]);
    }
    const uint64_t prefix = (uint64_t)ntohl(words[0]) << 32 | ntohl(words[1]);
    return prefix != 0 ? prefix : UINT64_MAX;   // ::1 is somebody, too
}
