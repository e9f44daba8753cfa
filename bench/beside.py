# Servers beside the first of them: they take turns under the generator, and a figure is a ratio to the first one's of the same
# round. features.py and backends.py choose the servers.
import argparse
import statistics
import subprocess
import sys

from report import size_name, spread, table
from servers import ROOT


def arguments(description, cells):
    """A parser of what every comparison takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--cells", default=cells, help="SIZExCONNECTIONSxDEPTH,...")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", default="0.5")
    return parser


def build():
    subprocess.run(["make", "-s", "-C", "bench"], cwd=ROOT, check=True)


def _rows(servers, cell, rounds, seconds):
    size, connections, depth = cell.split("x")
    lines = {name: [] for name in servers}
    for _ in range(rounds):
        for name, server in servers.items():
            line = server.load("--size", size, "--connections", connections, "--depth", depth, "--seconds", seconds)
            if "error" in line:
                sys.exit(f"bench: {name}, {cell}: {line['error']}")
            lines[name].append(line)
    first = next(iter(lines.values()))
    for name, own in lines.items():
        cpu, rate = ([line[key] / floor[key] for line, floor in zip(own, first)]
                     for key in ("server_cpu_us", "messages_per_s"))
        yield [size_name(int(size)), f"{int(connections):,}", depth, name, spread(cpu, "{:.2f}"), spread(rate, "{:.2f}"),
               f"{statistics.median(line['syscalls'] for line in own):.3f}"]


def compare(title, servers, chosen):
    """Loads them cell by cell, stops them, and prints a table: server CPU a message and messages/s as ratios (minimum / median
    / maximum), and system calls a message."""
    rows = [row for cell in chosen.cells.split(",") for row in _rows(servers, cell, chosen.rounds, chosen.seconds)]
    for server in servers.values():
        server.stop()
    table(title, ["size", "connections", "in flight", "server", "server CPU", "messages/s", "system calls"], rows)
