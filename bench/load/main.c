// A load generator for echo servers, on io_uring, one thread. Every answer is compared with what was sent, byte by
// byte. Prints lines of JSON. Exit status: 0 when every connection opened and every answer was right.
//
//   load --port N [--loop closed|open|fanout|storm|hold] [--connections C] [--depth D] [--size S] [--seconds T]
//        [--messages M] [--rate R] [--concurrency K] [--raw] [--tls] [--path /ws] [--server-pid P] [--mark]
//
// closed  each connection keeps D messages of S bytes in flight; --messages ends it after M messages
// open    R messages a second over all connections, whatever the answers do; a latency counts from when a message
//         was due, so that a server which stalls cannot hide it by making the generator wait
// fanout  the first connection keeps D messages in flight, and each of the C connections must see every one
// storm   opens and closes C connections, K at a time
// hold    opens C connections and keeps them until standard input ends
//
// --raw speaks bare TCP with as many bytes a message as a masked frame has.
// --mark sends the server SIGUSR1 when what is counted begins and when it ends, so that it says its own counts of it.
#include <string.h>

#include "client.h"
#include "../options.h"
#include "load.h"

struct settings settings = {
    .connections = 100, .depth = 1, .size = 16, .seconds = 5, .rate = 10000, .concurrency = 64, .path = "/ws",
    .loop = "closed",
};

int main(int argc, char **argv) {
    const struct option_spec specs[] = {
        { "--port", OPTION_PORT, &settings.port },
        { "--loop", OPTION_TEXT, &settings.loop },
        { "--connections", OPTION_UNSIGNED, &settings.connections },
        { "--depth", OPTION_UNSIGNED, &settings.depth },
        { "--size", OPTION_SIZE, &settings.size },
        { "--seconds", OPTION_SECONDS, &settings.seconds },
        { "--messages", OPTION_COUNT, &settings.messages },
        { "--rate", OPTION_UNSIGNED, &settings.rate },
        { "--concurrency", OPTION_UNSIGNED, &settings.concurrency },
        { "--path", OPTION_TEXT, &settings.path },
        { "--raw", OPTION_FLAG, &settings.raw },
        { "--tls", OPTION_FLAG, &settings.tls },
        { "--server-pid", OPTION_PID, &settings.server },
        { "--mark", OPTION_FLAG, &settings.mark },
    };
    options_parse(argc, argv, specs, sizeof specs / sizeof *specs);
    if (settings.port == 0 || settings.connections == 0 || settings.depth == 0 || settings.size == 0
        || settings.rate == 0 || settings.concurrency == 0) {
        die("--port is missing, or a number is 0");
    }
    if (strcmp(settings.loop, "hold") == 0) {
        return hold_run();
    }
    return strcmp(settings.loop, "storm") == 0 ? storm_run() : traffic_run();
}
