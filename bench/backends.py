#!/usr/bin/env python3
# The C core on epoll beside itself on io_uring, and beside other builds of it. Prints beside.py's table.
#
#   backends.py [--cells SIZExCONNECTIONSxDEPTH,...] [--rounds N] [--seconds T] [--also NAME=BINARY ...]
#
# --also adds another echo_core on epoll, for instance one that was built before a change.
import beside
from servers import Server

SLOTS = ("--connections", "12000")
CELLS = "16x100x1,16x1000x16,16x10000x16,512x1000x16,16384x100x16,16384x1000x1,16384x1000x16,1048576x1x1,1048576x100x1"


def main():
    parser = beside.arguments("The C core on epoll beside itself on io_uring.", CELLS)
    parser.add_argument("--also", action="append", default=[], metavar="NAME=BINARY")
    arguments = parser.parse_args()
    beside.build()
    servers = {"io_uring": Server("echo_core", *SLOTS, "--io", "io_uring", counts=True),
               "epoll": Server("echo_core", *SLOTS, "--io", "epoll", counts=True)}
    for name, binary in (pair.split("=", 1) for pair in arguments.also):
        servers[name] = Server(name, *SLOTS, "--io", "epoll", binary=[binary], counts=True)
    beside.compare("The C core on epoll, as ratios to the same on io_uring", servers, arguments)


if __name__ == "__main__":
    main()
