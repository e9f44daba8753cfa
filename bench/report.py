# Prints the tables of one results file of run.sh, as Markdown that reads in a terminal too: report.py FILE. Beside a figure
# stands its target (targets.py) and whether it was met; all of them stand at the head.
import contextlib
import io
import json
import statistics
import sys

import targets

NAMES = {"raw_echo": "raw io_uring TCP", "raw_epoll": "raw epoll TCP", "echo_core": "the C core alone",
         "echo_core_epoll": "the C core on epoll", "echo_core_tls": "the C core with TLS", "ringway": "ringway echo",
         "lws_echo": "libwebsockets", "beast_echo": "Boost.Beast", "picows": "picows"}
RAW = ("raw_echo", "raw_epoll")
PHASES = {"reads": "reads at 64 connections", "writes": "writes at 200/s", "before logins": "before the log-ins",
          "logins": "beside a full pool of log-ins"}
AMONG = {"million": ", among 1,000,000 users"}
PEERS = ("lws_echo", "beast_echo", "picows")
verdicts = targets.Verdicts()


def spread(values, form):
    return " / ".join(form.format(f(values)) for f in (min, statistics.median, max))


def size_name(size):
    return f"{size} B" if size < 1024 else f"{size >> 10} KiB" if size < 1 << 20 else f"{size >> 20} MiB"


def table(title, columns, rows):
    print(f"\n{title}\n")
    rows = [columns, *rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(columns))]
    for number, row in enumerate(rows):
        print("| " + " | ".join(f"{cell:>{width}}" for cell, width in zip(row, widths)) + " |")
        if number == 0:
            print("|" + "|".join("-" * (width + 1) + ":" for width in widths) + "|")


def median_of(lines, key):
    return statistics.median(line[key] for line in lines)


def ratios(lines, key="server_cpu_us", floors=RAW):
    """By cell and server the ratios of its rounds to the better raw echo of the same round; and the lines themselves."""
    cells = {}
    for line in lines:
        if "error" not in line and line["messages"] > 0:
            cell = (line["bytes"], line["connections"], line["depth"])
            cells.setdefault(cell, {}).setdefault(line["server"], {})[line["round"]] = line
    for cell, servers in cells.items():
        for server, rounds in servers.items():
            floor = {number: min(servers[raw][number][key] for raw in floors if number in servers.get(raw, {}))
                     for number in rounds if any(number in servers.get(raw, {}) for raw in floors)}
            found = [line[key] / floor[number] for number, line in rounds.items() if floor.get(number)]
            if found:
                yield cell, server, found, list(rounds.values())


def errors(lines):
    for line in lines:
        if "error" in line:
            print(f"failed: {line['server']} {line.get('bytes', '')} B, {line.get('connections', '')} connections, "
                  f"{line.get('depth', '')} in flight: {line['error']}")


def cell_name(cell):
    return f"{size_name(cell[0])}, {cell[1]:,} connections, {cell[2]} in flight"


def echo(lines):
    rows = []
    for cell, server, found, own in ratios(lines):
        bound = targets.cpu_ratio(server, *cell[:2])
        verdict = verdicts.at_most(f"CPU to the better raw echo, {cell_name(cell)}", statistics.median(found), bound)
        rows.append([size_name(cell[0]), f"{cell[1]:,}", str(cell[2]), NAMES[server],
                     f"{median_of(own, 'server_cpu_us'):,.2f}", spread(found, "{:.2f}"), verdict,
                     f"{median_of(own, 'messages_per_s'):,.0f}",
                     *(f"{median_of(own, key):,.0f}" for key in ("p50_us", "p99_us", "p999_us")),
                     f"{median_of(own, 'syscalls'):.3f}" if all("syscalls" in line for line in own) else "-"])
    table("Echo: server CPU a message, and its ratio to the better raw echo of the round (minimum / median / maximum)",
          ["size", "connections", "in flight", "server", "CPU us", "ratio", "target", "messages/s", "p50 us", "p99 us",
           "p99.9 us", "system calls"], rows)
    errors(lines)
    peers(lines)
    epoll(lines)


def peers(lines):
    """The other WebSocket servers, each as a multiple of `ringway echo` in the same round."""
    cells = {}
    for cell, server, found, _ in ratios(lines, floors=("ringway",)):
        if server in PEERS:
            cells.setdefault(cell, {})[server] = spread(found, "{:.1f}")
    if cells:
        table("Server CPU a message of other WebSocket servers, as a multiple of `ringway echo`'s in the same round "
              "(minimum / median / maximum)", ["size", "connections", "in flight", *(NAMES[peer] for peer in PEERS)],
              [[size_name(cell[0]), f"{cell[1]:,}", str(cell[2]), *(found.get(peer, "-") for peer in PEERS)]
               for cell, found in cells.items()])


def epoll(lines):
    """The two backends beside each other: the throughput of one as a ratio to the other's in the same round."""
    pair = [line for line in lines if line["server"] in ("echo_core", "echo_core_epoll")]
    rows = []
    for cell, server, found, own in ratios(pair, "messages_per_s", ("echo_core",)):
        if server == "echo_core_epoll":
            verdict = verdicts.at_least(f"epoll's messages/s to io_uring's, {cell_name(cell)}", statistics.median(found),
                                        targets.EPOLL_SHARE)
            rows.append([size_name(cell[0]), f"{cell[1]:,}", str(cell[2]), f"{median_of(own, 'messages_per_s'):,.0f}",
                         spread(found, "{:.2f}"), verdict])
    if rows:
        table("The C core on epoll: messages/s, and their ratio to io_uring's in the same round (minimum / median / maximum)",
              ["size", "connections", "in flight", "messages/s", "ratio", "target"], rows)


def left_out(lines):
    print("\nNot measured: " + "; ".join(f"{size_name(line['bytes'])} x {line['connections']:,} x {line['depth']} "
                                        f"({line['why']})" for line in lines))


def open_loop(lines):
    rows = [[NAMES[server], *(f"{median_of(own, key):,.0f}" for key in
                              ("messages_per_s", "p50_us", "p99_us", "p999_us", "max_us"))]
            for _, server, _, own in ratios(lines)]
    table("Open loop, 100 connections, 16 B, 20,000 messages/s: latency from when a message was due",
          ["server", "messages/s", "p50 us", "p99 us", "p99.9 us", "max us"], rows)
    errors(lines)


def fanout(lines):
    rows = []
    for cell, server, found, own in ratios(lines):
        bound = targets.FAN_OUT if server != "raw_epoll" else None
        verdict = verdicts.at_most(f"CPU a delivery to a loop of send(2), {cell_name(cell)}", statistics.median(found), bound)
        rows.append([f"{cell[1]:,}", str(cell[2]), NAMES[server] if server != "raw_epoll" else "a loop of send(2)",
                     f"{median_of(own, 'server_cpu_us'):.3f}", spread(found, "{:.2f}"), verdict,
                     f"{median_of(own, 'messages_per_s'):,.0f}"])
    table("Fan-out of one 16 B message: server CPU a delivery, and its ratio to a loop of send(2)",
          ["sockets", "in flight", "server", "CPU us", "ratio", "target", "deliveries/s"], rows)
    errors(lines)


def storm(lines):
    table("Connect storm: opened and closed again, 64 at a time",
          ["server", "connections", "refused", "openings/s", "p50 us", "p99 us", "CPU us"],
          [[NAMES[line["server"]], f"{line['connections']:,}", str(line["refused"]), f"{line['openings_per_s']:,.0f}",
            f"{line['p50_us']:,.0f}", f"{line['p99_us']:,.0f}", f"{line['server_cpu_us']:.1f}"]
           for line in lines if "openings_per_s" in line])
    errors(lines)


def idle(lines):
    rows = []
    for line in lines:
        if "opened" in line:
            verdict = verdicts.at_most(f"bytes an idle connection, {NAMES[line['server']]}", line["bytes_per_connection"],
                                       targets.idle_bytes(line["server"], line["opened"]), "{:,.0f}")
            rows.append([NAMES[line["server"]], f"{line['opened']:,}", str(line["refused"]),
                         f"{line['bytes_per_connection']:,.0f}", verdict])
    table("Idle connections: what the resident set grew by", ["server", "connections", "refused", "bytes each", "target"],
          rows)
    errors(lines)


def counts(lines):
    rows = []
    for line in lines:
        server, size, depth = line["server"], line["bytes"], line["depth"]
        name = "a fan-out of the C core" if server == "fanout" else NAMES[server]
        what = f"{name}, {size_name(size)}, {depth} in flight"
        verdict = verdicts.at_most(f"user instructions a message, {what}", line["instructions"],
                                   targets.instructions(server, size, depth), "{:,.0f}")
        rows.append([size_name(size), f"{line['connections']:,}", str(depth), name, f"{line['instructions']:,.0f}", verdict,
                     f"{line['allocations']:.4g}", f"{line['syscalls']:.3f}"])
    ours = [line["allocations"] for line in lines if targets.is_ours(line["server"])]
    verdicts.at_most("heap allocations a message, the most of any size", max(ours), targets.ALLOCATIONS, "{:.4g}")
    table("Counted in lock step, by callgrind: a message's user instructions, heap allocations and system calls",
          ["size", "connections", "in flight", "server", "instructions", "target", "allocations", "system calls"], rows)


def connections(lines):
    print("\nConnections open at once, ringway echo")
    for line in lines:
        if line["mode"] == "hold":
            print(f"opened {line['opened']:,}, refused {line['refused']:,}, in {line['seconds']:.1f} s; "
                  f"{line['bytes_per_connection']:,.0f} bytes of user-space memory each")
        else:
            print(f"still open after a while: {line['alive']:,}")


def messages(lines):
    print("\nringway serve and Postgres (fsync on)")
    for line in lines:
        if line["phase"] == "accounts":
            print(f"{line['users']} accounts and {line['friendships']} friendships over HTTP in "
                  f"{line['seconds']:.1f} s")
        elif line["phase"] == "sessions":
            print(f"sessions: opened {line['opened']:,}, refused {line['refused']:,}, in {line['seconds']:.1f} s; "
                  f"{line['bytes_per_session']:,.0f} bytes of user-space memory and {line['server_cpu_us']:,.0f} us of "
                  "CPU each")
    print(f"{'load':<8}{'messages/s':>11}{'sent p50 ms':>13}{'p99':>9}{'event p50 ms':>14}{'p99':>9}"
          f"{'CPU us':>8}{'missing':>9}{'refused':>9}{'disordered':>12}")
    for line in lines:
        if line["phase"] in ("open", "closed"):
            print(f"{line['phase']:<8}{line['messages_per_s']:>11,.0f}{line['sent_p50_ms']:>13.2f}"
                  f"{line['sent_p99_ms']:>9.2f}{line['event_p50_ms']:>14.2f}{line['event_p99_ms']:>9.2f}"
                  f"{line['server_cpu_us']:>8.0f}{line['missing']:>9}{line['refused']:>9}{line['disordered']:>12}")
    for line in lines:
        if line["phase"] == "calls":
            print(f"calls over sockets: {line['calls_per_s']:,.0f}/s, p50 {line['p50_ms']:.2f} ms, p99 {line['p99_ms']:.2f}, "
                  f"{line['server_cpu_us']:.0f} us of CPU each, missing {line['missing']}, refused {line['refused']}")


def services(lines):
    for line in lines:
        if line["phase"] == "seed":
            print(f"\n{line['users']:,} users seeded in {line['seconds']:,} s")
        elif line["phase"] == "token":
            verdicts.at_most("us of a token's check, the first time", line["first_us"], targets.TOKEN_CHECK_US, "{:,.1f}")
            print(f"\nA token's check: {line['first_us']:.1f} us the first time, {line['again_us']:.1f} us while it is "
                  "remembered")
        elif line["phase"] == "argon2":
            print(f"\nPasswords checked alone: {line['hashes_per_s']:.1f} a second, which bounds the log-ins")
    cells = {}
    for line in lines:
        if "kind" in line:
            cells.setdefault((line["phase"], line["kind"], line["server"]), []).append(line)
    rows = []
    for (phase, kind, server), own in cells.items():
        p99 = median_of(own, "p99_ms")
        verdict = verdicts.at_most(f"p99 ms, {PHASES[phase]}: {kind}{AMONG.get(server, '')}", p99,
                                   targets.p99_ms(phase, kind, server))
        rows.append([phase, kind, server, f"{median_of(own, 'requests_per_s'):,.0f}", f"{median_of(own, 'p50_ms'):,.2f}",
                     f"{p99:,.2f}", verdict, f"{median_of(own, 'max_ms'):,.2f}", f"{median_of(own, 'server_cpu_us'):,.0f}",
                     str(sum(line["wrong"] for line in own))])
    table("HTTP API and Postgres (fsync on): median of the rounds",
          ["phase", "request", "server", "requests/s", "p50 ms", "p99 ms", "target", "max ms", "server CPU us", "wrong"], rows)
    for kind in targets.CACHED:
        kept, read = (cells.get(("reads", kind, server)) for server in ("serve", "serve --cache off"))
        if kept and read:
            gain = median_of(kept, "requests_per_s") / median_of(read, "requests_per_s")
            verdicts.at_least(f"requests/s with the cache to those without, {kind}", gain, targets.CACHE_GAIN)


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    for line in lines:
        if line["scenario"] == "machine":
            verdicts.on = not line["smoke"]
            print(f"{line['cpu']}, {line['cores']} cores, Linux {line['kernel']}; commit {line['commit']}, {line['at']}"
                  + ("; a smoke run: its figures mean nothing" if line["smoke"] else ""))
    scenarios = {"echo": echo, "left_out": left_out, "open": open_loop, "fanout": fanout, "storm": storm, "idle": idle,
                 "counts": counts, "connections": connections, "messages": messages, "services": services}
    tables = io.StringIO()
    with contextlib.redirect_stdout(tables):
        for name, scenario in scenarios.items():
            chosen = [line for line in lines if line["scenario"] == name]
            if chosen:
                scenario(chosen)
    if verdicts.rows:
        missed = sum(row[-1] != "met" for row in verdicts.rows)
        table(f"Targets: {len(verdicts.rows) - missed} met, {missed} missed", ["figure", "target", "measured", ""],
              verdicts.rows)
    print(tables.getvalue(), end="")
    print(f"\n{sys.argv[1]}")


if __name__ == "__main__":
    main()
