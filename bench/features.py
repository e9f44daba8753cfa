#!/usr/bin/env python3
# What features of newer kernels would give: the raw echo on io_uring (raw/features.c) with each of them, beside itself
# without any. Prints beside.py's table.
#
#   features.py [--cells SIZExCONNECTIONSxDEPTH,...] [--rounds N] [--seconds T] [FEATURE ...]
import beside
from servers import Server

PLAIN = "none"
FEATURES = {PLAIN: [], "bundle": ["--bundle"], "incremental": ["--incremental"],
            "bundle, incremental": ["--bundle", "--incremental"], "minimum wait": ["--min-wait", "50", "--batch", "64"],
            "zero copy": ["--zero-copy"], "napi": ["--napi", "50"]}
CELLS = "16x100x1,16x100x16,16x1000x16,512x1000x16,16384x1000x1,1048576x1x1"


def main():
    parser = beside.arguments("What features of newer kernels would give to the raw echo.", CELLS)
    parser.add_argument("features", nargs="*", choices=[*FEATURES, []], metavar="FEATURE")
    arguments = parser.parse_args()
    beside.build()
    chosen = [PLAIN, *(name for name in arguments.features or FEATURES if name != PLAIN)]
    servers = {name: Server("raw_features", *FEATURES[name], load=["--raw"], counts=True) for name in chosen}
    beside.compare("The raw echo on io_uring with features of newer kernels, as ratios to the same without", servers, arguments)


if __name__ == "__main__":
    main()
