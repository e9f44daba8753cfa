# Prints the tables of one results file of run.sh, as Markdown that reads in a terminal too: report.py FILE. It judges
# nothing.
import json
import statistics
import sys

NAMES = {"raw_echo": "raw io_uring TCP", "raw_epoll": "raw epoll TCP", "echo_core": "the C core alone",
         "echo_core_epoll": "the C core on epoll", "echo_core_tls": "the C core with TLS", "ringway": "ringway echo",
         "lws_echo": "libwebsockets", "beast_echo": "Boost.Beast", "picows": "picows"}
RAW = ("raw_echo", "raw_epoll")


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


def echo(lines):
    rows = [[size_name(cell[0]), f"{cell[1]:,}", str(cell[2]), NAMES[server], f"{median_of(own, 'server_cpu_us'):,.2f}",
             spread(found, "{:.2f}"), f"{median_of(own, 'messages_per_s'):,.0f}",
             *(f"{median_of(own, key):,.0f}" for key in ("p50_us", "p99_us", "p999_us"))]
            for cell, server, found, own in ratios(lines)]
    table("Echo: server CPU a message, and its ratio to the better raw echo of the round (minimum / median / maximum)",
          ["size", "connections", "in flight", "server", "CPU us", "ratio", "messages/s", "p50 us", "p99 us", "p99.9 us"],
          rows)
    errors(lines)


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
    rows = [[f"{cell[1]:,}", str(cell[2]), NAMES[server] if server != "raw_epoll" else "a loop of send(2)",
             f"{median_of(own, 'server_cpu_us'):.3f}", spread(found, "{:.2f}"),
             f"{median_of(own, 'messages_per_s'):,.0f}"] for cell, server, found, own in ratios(lines)]
    table("Fan-out of one 16 B message: server CPU a delivery, and its ratio to a loop of send(2)",
          ["sockets", "in flight", "server", "CPU us", "ratio", "deliveries/s"], rows)
    errors(lines)


def storm(lines):
    table("Connect storm: opened and closed again, 64 at a time",
          ["server", "connections", "refused", "openings/s", "p50 us", "p99 us", "CPU us"],
          [[NAMES[line["server"]], f"{line['connections']:,}", str(line["refused"]), f"{line['openings_per_s']:,.0f}",
            f"{line['p50_us']:,.0f}", f"{line['p99_us']:,.0f}", f"{line['server_cpu_us']:.1f}"]
           for line in lines if "openings_per_s" in line])
    errors(lines)


def idle(lines):
    table("Idle connections: what the resident set grew by",
          ["server", "connections", "refused", "bytes each"],
          [[NAMES[line["server"]], f"{line['opened']:,}", str(line["refused"]), f"{line['bytes_per_connection']:,.0f}"]
           for line in lines if "opened" in line])
    errors(lines)


def counts(lines):
    table("Counted by callgrind in lock step: the C core alone, and under the Swift loop", ["figure", "a message"],
          [[name, f"{value:,.3f}"] for line in lines for name, value in line["figures"].items()])


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


def services(lines):
    for line in lines:
        if line["phase"] == "seed":
            print(f"\n{line['users']:,} users seeded in {line['seconds']:,} s")
        elif line["phase"] == "token":
            print(f"\nA token's check: {line['first_us']:.1f} us the first time, {line['again_us']:.1f} us while it is "
                  "remembered")
        elif line["phase"] == "argon2":
            print(f"\nPasswords checked alone: {line['hashes_per_s']:.1f} a second, which bounds the log-ins")
    cells = {}
    for line in lines:
        if "kind" in line:
            cells.setdefault((line["phase"], line["kind"], line["server"]), []).append(line)
    table("HTTP API and Postgres (fsync on): median of the rounds",
          ["phase", "request", "server", "requests/s", "p50 ms", "p99 ms", "max ms", "server CPU us", "wrong"],
          [[*cell, f"{median_of(own, 'requests_per_s'):,.0f}",
            *(f"{median_of(own, key):,.2f}" for key in ("p50_ms", "p99_ms", "max_ms")),
            f"{median_of(own, 'server_cpu_us'):,.0f}", str(sum(line["wrong"] for line in own))]
           for cell, own in cells.items()])


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    for line in lines:
        if line["scenario"] == "machine":
            print(f"{line['cpu']}, {line['cores']} cores, Linux {line['kernel']}; commit {line['commit']}, {line['at']}"
                  + ("; a smoke run: its figures mean nothing" if line["smoke"] else ""))
    scenarios = {"echo": echo, "left_out": left_out, "open": open_loop, "fanout": fanout, "storm": storm, "idle": idle,
                 "counts": counts, "connections": connections, "messages": messages, "services": services}
    for name, scenario in scenarios.items():
        chosen = [line for line in lines if line["scenario"] == name]
        if chosen:
            scenario(chosen)
    print(f"\n{sys.argv[1]}")


if __name__ == "__main__":
    main()
