#!/usr/bin/env python3
# What features of newer kernels would give: the raw echo on io_uring (raw/features.c) with each of them, beside itself
# without any, the servers taking turns. Prints a table: server CPU a message as a ratio to that of the same round without
# (minimum / median / maximum), its messages/s likewise, and system calls a message.
#
#   features.py [--cells SIZExCONNECTIONSxDEPTH,...] [--rounds N] [--seconds T] [FEATURE ...]
import argparse
import statistics
import subprocess
import sys

from report import size_name, spread, table
from servers import ROOT, Server

PLAIN = "none"
FEATURES = {PLAIN: [], "bundle": ["--bundle"], "incremental": ["--incremental"],
            "bundle, incremental": ["--bundle", "--incremental"], "minimum wait": ["--min-wait", "50", "--batch", "64"],
            "zero copy": ["--zero-copy"], "napi": ["--napi", "50"]}
CELLS = "16x100x1,16x100x16,16x1000x16,512x1000x16,16384x1000x1,1048576x1x1"


def measure(servers, cell, rounds, seconds):
    size, connections, depth = cell.split("x")
    lines = {name: [] for name in servers}
    for _ in range(rounds):
        for name, server in servers.items():
            line = server.load("--size", size, "--connections", connections, "--depth", depth, "--seconds", seconds)
            if "error" in line:
                sys.exit(f"features: {name}, {cell}: {line['error']}")
            lines[name].append(line)
    for name, own in lines.items():
        cpu, rate = ([line[key] / plain[key] for line, plain in zip(own, lines[PLAIN])]
                     for key in ("server_cpu_us", "messages_per_s"))
        yield [size_name(int(size)), f"{int(connections):,}", depth, name, spread(cpu, "{:.2f}"), spread(rate, "{:.2f}"),
               f"{statistics.median(line['syscalls'] for line in own):.3f}"]


def main():
    parser = argparse.ArgumentParser(description="What features of newer kernels would give to the raw echo.")
    parser.add_argument("--cells", default=CELLS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", default="0.5")
    parser.add_argument("features", nargs="*", choices=[*FEATURES, []], metavar="FEATURE")
    arguments = parser.parse_args()
    subprocess.run(["make", "-s", "-C", "bench"], cwd=ROOT, check=True)
    chosen = [PLAIN, *(name for name in arguments.features or FEATURES if name != PLAIN)]
    servers = {name: Server("raw_features", *FEATURES[name], load=["--raw"], counts=True) for name in chosen}
    rows = [row for cell in arguments.cells.split(",") for row in measure(servers, cell, arguments.rounds, arguments.seconds)]
    for server in servers.values():
        server.stop()
    table("The raw echo on io_uring with features of newer kernels, as ratios to the same without",
          ["size", "connections", "in flight", "with", "server CPU", "messages/s", "system calls"], rows)


if __name__ == "__main__":
    main()
