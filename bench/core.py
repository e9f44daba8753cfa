#!/usr/bin/env python3
# Measures the core and `ringway echo` beside the raw limits, and prints every figure as a line of JSON; run.sh calls it,
# report.py reads it. The servers of a comparison stay up and take turns, so that a slow minute touches all of them.
#
#   core.py --ringway BINARY [--smoke | --full]
#
# echo    server CPU a message over sizes, connections and depths; the peers are other WebSocket servers
# open    latency at a fixed rate, counted from when a message was due
# fanout  one message to 1,000 sockets, beside a loop of send(2)
# storm   openings a second, plain and TLS
# idle    bytes an idle connection: core, core with TLS, ringway echo, the peers
# counts  instructions, allocations and system calls a message of the raw limits, the core, and the core under the Swift
#         loop, in lock step with their clients, by callgrind
import argparse
import json
import os
import subprocess
import sys
import tempfile

from gate import LOOP, lockstep_counts, loop_counts
from servers import BIN, ROOT, Server

SIZES, CONNECTIONS, DEPTHS = (16, 512, 16384, 1 << 20), (1, 100, 1000, 10000), (1, 16)
IN_FLIGHT_BYTES_MAX = 256 << 20  # the generator and the kernel hold each byte several times
SLOTS = "12000"
PEERS = ("lws_echo", "beast_echo", "picows")  # bench/peers
failed = False


def put(scenario, server, line, **fields):
    """Prints a figure. What goes wrong at a peer is told in the report and fails nothing."""
    global failed
    failed |= "error" in line and server not in PEERS
    print(json.dumps({"scenario": scenario, "server": server, **fields, **line}), flush=True)


def cells(mode):
    """(size, connections, depth) to measure, and what is left out of the grid, with the reason."""
    if mode == "smoke":
        return [(16, 100, depth) for depth in DEPTHS] + [(1 << 20, 1, 1)], []
    chosen, left_out = [], []
    for size in SIZES:
        for connections in CONNECTIONS:
            for depth in DEPTHS:
                cell, bytes_in_flight = (size, connections, depth), size * connections * depth
                if bytes_in_flight > IN_FLIGHT_BYTES_MAX:
                    left_out.append((*cell, f"{bytes_in_flight >> 20:,} MiB in flight"))
                elif mode != "full" and size > 512 and connections in (1, 10000) and depth == 16:
                    left_out.append((*cell, "only with --full"))
                else:
                    chosen.append(cell)
    return chosen, left_out


def peer(name):
    """Started anew; scripts/setup.sh --bench has installed what it needs."""
    if name != "picows":
        return Server(name)
    python = os.path.join(ROOT, ".build-venv-bench", "bin", "python")
    return Server(name, binary=[python, os.path.join(ROOT, "bench", "peers", "picows_echo.py")])


def tells_counts(ringway):
    """An older binary ends when it is asked."""
    return "SIGUSR1" in subprocess.run([ringway, "echo", "--help"], stdout=subprocess.PIPE, text=True, check=True).stdout


def echo(ringway, mode, rounds, seconds):
    chosen, left_out = cells(mode)
    for size, connections, depth, why in left_out:
        put("left_out", "", {}, bytes=size, connections=connections, depth=depth, why=why)
    servers = [Server("raw_echo", load=["--raw"], counts=True), Server("raw_epoll", load=["--raw"], counts=True),
               Server("echo_core", "--connections", SLOTS, counts=True),
               Server("ringway", binary=[ringway, "echo"], load=["--path", "/"], counts=tells_counts(ringway))]
    if mode != "smoke":
        servers.append(Server("echo_core", "--connections", SLOTS, "--io", "epoll", counts=True))
        servers[-1].name = "echo_core_epoll"
        servers += [peer(name) for name in PEERS]
    for size, connections, depth in chosen:
        for number in range(rounds):
            for server in servers:
                line = server.load("--size", str(size), "--connections", str(connections), "--depth", str(depth),
                                   "--seconds", str(seconds))
                put("echo", server.name, line, round=number, bytes=size, connections=connections, depth=depth)
    for number in range(rounds):
        for server in servers:
            put("open", server.name, server.load("--loop", "open", "--rate", "20000", "--seconds", str(seconds)),
                round=number)
    for server in servers:
        server.stop()


def fanout(mode, rounds, seconds):
    sockets = "100" if mode == "smoke" else "1000"
    servers = [Server("raw_epoll", "--broadcast", load=["--raw"]), Server("echo_core", "--broadcast")]
    for depth in DEPTHS:
        for number in range(rounds):
            for server in servers:
                put("fanout", server.name, server.load("--loop", "fanout", "--connections", sockets, "--depth", str(depth),
                                                       "--seconds", str(seconds)), round=number)
    for server in servers:
        server.stop()


def opening_and_holding(ringway, mode):
    storm, hold = ("500", "1000") if mode == "smoke" else ("10000", "19000")
    with tempfile.TemporaryDirectory() as folder:
        key, certificate = os.path.join(folder, "key.pem"), os.path.join(folder, "certificate.pem")
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-subj", "/CN=localhost", "-days", "2", "-keyout", key, "-out", certificate], check=True,
                       stderr=subprocess.DEVNULL)
        def servers():
            yield "echo_core", lambda: Server("echo_core", "--connections", "19500")
            yield "echo_core_tls", lambda: Server("echo_core", "--connections", "19500", "--tls-cert", certificate,
                                                  "--tls-key", key, load=["--tls"])
            yield "ringway", lambda: Server("ringway", binary=[ringway, "echo"], load=["--path", "/"])
            if mode != "smoke":
                for name in PEERS:
                    yield name, lambda name=name: peer(name)
        for name, start in servers():
            server = start()
            # `ringway echo` takes 10,000 connections.
            held = "10000" if name == "ringway" and mode != "smoke" else hold
            put("idle", name, server.load("--loop", "hold", "--connections", held))
            server.stop()
            server = start()
            put("storm", name, server.load("--loop", "storm", "--connections", storm, "--seconds", "60"))
            server.stop()


def counts():
    """Where the clients are as many in every cell; more of them only fill the turns."""
    subjects = {"raw_echo": "raw_echo_lockstep", "raw_epoll": "raw_epoll_lockstep", "echo_core": "lockstep"}
    for size, depth, connections, rounds in ((16, 1, 100, 100), (16, 16, 100, 50), (512, 1, 100, 100), (512, 16, 100, 50),
                                             (16384, 1, 100, 20), (1 << 20, 1, 4, 10)):
        options = ["--connections", str(connections), "--depth", str(depth), "--size", str(size)]
        found = {server: lockstep_counts(driver, *options, "--rounds", str(rounds)) for server, driver in subjects.items()}
        # BENCH_BINARY may measure another tree's server, beside which this one's loop need not be built. Its messages
        # are shorter than 1 MiB.
        if os.path.exists(LOOP) and size < 1 << 20:
            found["ringway"] = loop_counts(rounds, *options)
        for server, (instructions, allocations, syscalls) in found.items():
            put("counts", server, {}, bytes=size, connections=connections, depth=depth, instructions=instructions,
                allocations=allocations, syscalls=syscalls)
    instructions, allocations, syscalls = lockstep_counts("lockstep", "--connections", "1000", "--fan-out", "--rounds", "20")
    put("counts", "fanout", {}, bytes=16, connections=1000, depth=1, instructions=instructions, allocations=allocations,
        syscalls=syscalls)


def main():
    parser = argparse.ArgumentParser(description="Measures the core beside the raw limits.")
    parser.add_argument("--ringway", required=True)
    parser.add_argument("--smoke", action="store_true")
    parser.add_argument("--full", action="store_true")
    arguments = parser.parse_args()
    mode = "smoke" if arguments.smoke else "full" if arguments.full else "default"
    rounds, seconds = {"smoke": (1, 0.4), "default": (3, 0.6), "full": (5, 2)}[mode]
    ringway = os.path.join(ROOT, arguments.ringway)
    echo(ringway, mode, rounds, seconds)
    fanout(mode, rounds, seconds)
    opening_and_holding(ringway, mode)
    if mode != "smoke":
        counts()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
