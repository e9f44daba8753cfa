#!/usr/bin/env python3
# The regression gate: measures what has no noise, compares it with bench/thresholds/core.json, and fails when a figure
# is worse by more than its tolerance, naming it with both values.
#
#   gate.py             measure and compare
#   gate.py --accept    measure and write new thresholds; say why in the commit
#   gate.py --self-test plant a slowdown in the codec's driver and see it caught
#
# Instructions and allocations are counted by callgrind in the function that the driver names; nothing that the machine
# does beside it changes them. One wall-clock ratio, interleaved with a raw echo, has a wide bound.
import argparse
import contextlib
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

from servers import BIN, ROOT, Server

LOOP = os.path.join(ROOT, ".build", "release", "lockstep-swift")
THRESHOLDS = os.path.join(ROOT, "bench", "thresholds", "core.json")
ALLOCATORS = {"malloc", "calloc", "realloc", "memalign", "posix_memalign", "aligned_alloc", "mmap"}
HELD = 10000
ROUNDS = 5
WALL_CLOCK_BOUND = 1.5
RESIDENT_SLACK_BYTES = 24
HELD_TLS = 2000
TLS_BYTES_BOUND = 4096  # with the ciphers that all share, some 2 MB
# Callgrind counts each byte that `rep movsb` copies as an instruction, and glibc copies long blocks with it: counted, the
# copies go by vectors, as they do on processors without it.
COUNTING = {**os.environ, "GLIBC_TUNABLES": f"glibc.cpu.x86_rep_movsb_threshold={1 << 30}"}


def output(*command, env=None):
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=120,
                          check=False, env=env)
    if done.returncode != 0:
        sys.exit(f"gate: {' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def messages_of(text):
    return int(re.search(r"^messages (\d+)", text, re.M)[1])


def allocations_in(profile):
    """The calls of allocating functions in a callgrind profile. A name stands in full once, then by its number."""
    names, called, calls = {}, None, 0
    for line in profile.splitlines():
        if match := re.match(r"c?fn=\((\d+)\)(?: (.*))?", line):
            if match[2]:
                names[match[1]] = match[2].split("'")[0]
            if line.startswith("cfn="):
                called = names[match[1]]
        elif called and (match := re.match(r"calls=(\d+)", line)):
            if called in ALLOCATORS:
                calls += int(match[1])
            called = None
    return calls


def profiled(functions, *command):
    """Instructions, allocations and messages inside a function of a driver, less those it calls that are named too."""
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "profile")
        text = output("valgrind", "--tool=callgrind", *(f"--toggle-collect={function}" for function in functions),
                      f"--callgrind-out-file={path}", *command, env=COUNTING)
        with open(path, encoding="utf-8") as file:
            profile = file.read()
    instructions = int(re.search(r"^(?:summary|totals): (\d+)", profile, re.M)[1])
    if instructions == 0:
        sys.exit(f"gate: {functions[0]} was not seen by callgrind")
    return instructions, allocations_in(profile), messages_of(text)


def counted(function, *command):
    """Instructions and allocations a message inside one function of a driver."""
    instructions, allocations, messages = profiled([function], *command)
    return instructions / messages, allocations / messages


def codec_figures(binary="codec"):
    figures = {}
    for size in (16, 512, 16384):
        instructions, allocations = counted("codec_measured", os.path.join(BIN, binary), "--size", str(size),
                                            "--messages", "8000" if size < 16384 else "800")
        figures[f"codec {size} B: user instructions a message"] = instructions
        figures[f"codec {size} B: heap allocations a message"] = allocations
    return figures


def lockstep_counts(driver, *options):
    """Instructions, allocations and system calls a message of a C server in lock step with its clients."""
    command = [os.path.join(BIN, driver), *options]
    instructions, allocations = counted("lockstep_measured", *command)
    text = output(*command)
    return instructions, allocations, int(re.search(r"syscalls (\d+)", text)[1]) / messages_of(text)


def loop_counts(rounds, *options):
    """The same of the core under the Swift loop. What comes before and after the rounds is in two runs alike."""
    with tempfile.TemporaryDirectory() as folder:
        # Swift writes DWARF 5, which valgrind can't read.
        binary = os.path.join(folder, "lockstep-swift")
        output("objcopy", "--strip-debug", LOOP, binary)
        command = [binary, *options, "--rounds"]
        few, many = (profiled(["*8measured*", "lockstep_clients_*"], *command, str(rounds * times)) for times in (1, 2))
        messages = many[2] - few[2]
        text = output(*command, str(rounds))
        return ((many[0] - few[0]) / messages, (many[1] - few[1]) / messages,
                int(re.search(r"syscalls (\d+)", text)[1]) / messages_of(text))


COUNTS = ("user instructions a message", "heap allocations a message", "system calls a message")


def core_figures():
    figures = {}
    cases = [(f"core {size} B, {depth} in flight",
              ["--connections", str(connections), "--depth", str(depth), "--size", str(size), "--rounds", str(rounds)])
             for size, depth, connections, rounds in ((16, 1, 100, 100), (16, 16, 100, 50), (512, 1, 100, 50), (512, 16, 100, 20),
                                                      (16384, 1, 100, 20), (65536, 1, 20, 20), (1 << 20, 1, 4, 10))]
    cases.append(("core 16 B, fan-out to 1,000", ["--connections", "1000", "--fan-out", "--rounds", "20"]))
    cases += [(f"core on epoll 16 B, {depth} in flight", ["--backend", "epoll", "--depth", str(depth), "--rounds", str(rounds)])
              for depth, rounds in ((1, 100), (16, 50))]
    for name, options in cases:
        # In what pieces a message comes that is longer than the kernel's buffers is the kernel's to say, and changes on a busy
        # machine: the least of three counts, and none of the turns.
        counts = min(lockstep_counts("lockstep", *options) for _ in range(3 if "1048576" in name else 1))
        figures.update((f"{name}: {count}", value) for count, value in zip(COUNTS, counts))
    del figures["core 1048576 B, 1 in flight: system calls a message"]
    return figures


def loop_figures():
    """The core under the Swift loop of `ringway echo`."""
    figures = {}
    for size, depth, rounds in ((16, 1, 100), (16, 16, 50), (16384, 1, 20)):
        counts = loop_counts(rounds, "--depth", str(depth), "--size", str(size))
        figures.update((f"loop {size} B, {depth} in flight: {count}", value) for count, value in zip(COUNTS, counts))
    return figures


def held(connections):
    """What the core says it holds after so many connections, and what its resident set grew by."""
    server = Server("echo_core", "--connections", str(HELD + 1))
    grown = server.load("--loop", "hold", "--connections", str(connections))
    text = server.stop()
    if "error" in grown:
        sys.exit(f"gate: idle connections were refused or ended: {grown}")
    return int(re.search(r"core_bytes (\d+)", text)[1]), grown["resident_after"] - grown["resident_before"]


@contextlib.contextmanager
def tls_options():
    """A server's options for TLS, with a certificate that is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        key, certificate = os.path.join(folder, "key.pem"), os.path.join(folder, "certificate.pem")
        output("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj",
               "/CN=localhost", "-days", "2", "-keyout", key, "-out", certificate)
        yield ["--tls-cert", certificate, "--tls-key", key]


def tls_figures():
    """The core under TLS. 600 connections are more than the ciphers kept ready, so that some set their keys anew."""
    figures = {}
    cases = ((16, 1, 100, 100), (16, 16, 100, 50), (16384, 1, 100, 20), (16, 1, 600, 20))
    with tls_options() as tls:
        for size, depth, connections, rounds in cases:
            name = f"TLS {size} B, {depth} in flight" + (f", {connections} connections" if connections > 100 else "")
            counts = lockstep_counts("lockstep", "--connections", str(connections), "--depth", str(depth), "--size",
                                     str(size), "--rounds", str(rounds), *tls)
            figures.update((f"{name}: {count}", value) for count, value in zip(COUNTS, counts))
    return figures


def held_over_tls():
    """Resident bytes an idle TLS connection."""
    with tls_options() as tls:
        server = Server("echo_core", *tls, load=["--tls"])
        grown = server.load("--loop", "hold", "--connections", str(HELD_TLS))
        server.stop()
    if "error" in grown:
        sys.exit(f"gate: idle TLS connections were refused or ended: {grown}")
    return (grown["resident_after"] - grown["resident_before"]) / HELD_TLS


def idle_figures():
    few, _ = held(1)
    many, resident = held(HELD + 1)
    return {"idle connection: bytes of the core": (many - few) / HELD,
            "idle connection: resident bytes": resident / HELD,
            "idle TLS connection: resident bytes": held_over_tls()}


def wall_clock_figures():
    raw, core = Server("raw_echo", load=["--raw"]), Server("echo_core")
    ratios = []
    for _ in range(ROUNDS):
        mine, floor = (server.load("--connections", "100", "--depth", "16", "--seconds", "1")["server_cpu_us"]
                       for server in (core, raw))
        ratios.append(mine / floor)
    raw.stop()
    core.stop()
    return {"server CPU a message, 16 B, 16 in flight, to a raw echo": statistics.median(ratios)}


def compare(figures, thresholds):
    """What is worse than allowed, a line each; a figure without a threshold is one too, and so is the reverse."""
    worse = [f"{name}: measured by nothing" for name in thresholds if name not in figures]
    for name, value in figures.items():
        if name not in thresholds:
            worse.append(f"{name}: {value:.3f}, and no threshold (make bench-accept)")
            continue
        accepted = thresholds[name]
        most = accepted["at_most"] if "at_most" in accepted else accepted["value"] * 1.02
        if value > most + 1e-9:
            was = f"at most {most:.3f}" if "at_most" in accepted else f"{accepted['value']:.3f}"
            worse.append(f"{name}: {value:.3f}, was {was}" +
                         (f" ({(value / accepted['value'] - 1) * 100:+.1f} %)" if accepted.get("value") else ""))
    return worse


def limits(figures):
    """What bench-accept writes: exact figures with their value, those with noise or a fixed goal with a bound."""
    written = {}
    for name, value in sorted(figures.items()):
        if name.endswith("to a raw echo"):
            written[name] = {"at_most": WALL_CLOCK_BOUND}
        elif "allocations" in name:
            written[name] = {"at_most": 0}
        elif name.startswith("idle TLS"):
            written[name] = {"at_most": TLS_BYTES_BOUND}
        elif "resident" in name:
            written[name] = {"at_most": round(value + RESIDENT_SLACK_BYTES)}
        else:
            written[name] = {"value": round(value, 4)}
    return written


def read_thresholds():
    with open(THRESHOLDS, encoding="utf-8") as file:
        return json.load(file)


def compiler():
    return output("make", "-s", "-C", "bench", "compiler").strip()


def self_test():
    thresholds = {name: value for name, value in read_thresholds()["figures"].items() if name.startswith("codec")}
    good, planted = compare(codec_figures(), thresholds), compare(codec_figures("codec_planted"), thresholds)
    print("\n".join(planted))
    caught = [line for line in planted if line.startswith("codec 16 B: user instructions") and ", was " in line]
    allocating = compare({"a: heap allocations a message": 0.001}, {"a: heap allocations a message": {"at_most": 0}})
    missing = compare({"new": 1.0}, {"old": {"value": 1.0}})
    checks = {"the tree as it is passes": not good, "a planted slowdown is caught and named": bool(caught),
              "one allocation in a thousand messages is caught": len(allocating) == 1,
              "a figure without a threshold fails, and a threshold without a figure": len(missing) == 2}
    for text, passed in checks.items():
        print(f"{'ok' if passed else 'FAILED'}: {text}")
    print(*good, sep="\n")
    return 0 if all(checks.values()) else 1


def main():
    parser = argparse.ArgumentParser(description="The regression gate of the core and its loop.")
    parser.add_argument("--accept", action="store_true")
    parser.add_argument("--self-test", action="store_true")
    arguments = parser.parse_args()
    output("make", "-s", "-C", "bench", "all")
    if arguments.self_test:
        return self_test()
    figures = {**codec_figures(), **core_figures(), **tls_figures(), **loop_figures(), **idle_figures(), **wall_clock_figures()}
    if arguments.accept:
        os.makedirs(os.path.dirname(THRESHOLDS), exist_ok=True)
        with open(THRESHOLDS, "w", encoding="utf-8") as file:
            json.dump({"compiler": compiler(), "figures": limits(figures)}, file, indent=2)
            file.write("\n")
        print(f"wrote {os.path.relpath(THRESHOLDS, ROOT)}")
        return 0
    thresholds = read_thresholds()
    for name, value in figures.items():
        accepted = thresholds["figures"].get(name, {})
        print(f"{name:<62}{value:>12.3f}   accepted {accepted.get('value', accepted.get('at_most', 'nothing'))}")
    if thresholds["compiler"] != compiler():
        print(f"gate: the thresholds were written with {thresholds['compiler']}, this is {compiler()}")
    worse = compare(figures, thresholds["figures"])
    for line in worse:
        print(f"gate: worse: {line}", file=sys.stderr)
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
