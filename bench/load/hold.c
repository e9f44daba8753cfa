// Idle hold: opens connections, says how many there are and what the server's memory grew by, keeps them until
// standard input ends, then looks which of them the server has ended meanwhile.
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"
#include "load.h"

// A held connection is idle: anything that may be read but TLS session tickets is its end.
static unsigned wait_and_count(const struct link *links, unsigned count) {
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) {
    }
    unsigned alive = 0;
    for (unsigned i = 0; i < count; i++) {
        const ssize_t received = recv(links[i].fd, &byte, 1, MSG_DONTWAIT | MSG_PEEK);
        alive += received > 0 ? links[i].tls != NULL : received < 0 && errno == EAGAIN;
    }
    return alive;
}

int hold_run(void) {
    struct link *links = calloc(settings.connections, sizeof *links);
    if (links == NULL) {
        die("out of memory");
    }
    unsigned opened = 0;
    int refusal = 0;
    const struct usage before = process_usage(settings.server);
    const uint64_t began = clock_ns();
    for (unsigned i = 0; i < settings.connections; i++) {
        const int error = link_open(&links[opened], i);
        if (error < 0) {
            refusal = error;
        } else {
            opened++;
        }
    }
    const double took = (double)(clock_ns() - began) / 1e9;
    const struct usage after = process_usage(settings.server);
    if (refusal < 0) {
        fprintf(stderr, "load: the last refusal: %s\n", strerror(-refusal));
    }
    printf("{\"mode\":\"hold\",\"tls\":%d,\"connections\":%u,\"opened\":%u,\"refused\":%u,\"seconds\":%.3f,"
           "\"resident_before\":%llu,\"resident_after\":%llu,\"bytes_per_connection\":%.0f}\n",
           settings.tls, settings.connections, opened, settings.connections - opened, took,
           (unsigned long long)before.resident_bytes, (unsigned long long)after.resident_bytes,
           opened ? ((double)after.resident_bytes - (double)before.resident_bytes) / opened : 0.0);
    fflush(stdout);
    const unsigned alive = wait_and_count(links, opened);
    printf("{\"mode\":\"held\",\"tls\":%d,\"alive\":%u}\n", settings.tls, alive);
    return alive == settings.connections ? 0 : 1;
}
