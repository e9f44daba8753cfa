# Prints the tables of one results file of run.sh: report.py FILE. It judges nothing.
import json
import statistics
import sys

NAMES = {"raw": "raw io_uring TCP", "core": "the C core alone", "ringway": "ringway echo"}


def spread(values, form):
    return " / ".join(form.format(f(values)) for f in (min, statistics.median, max))


def echo(lines):
    print("\nEcho, 100 connections, 16 bytes: CPU of the server a message, minimum / median / maximum")
    print(f"{'in flight':>9}  {'server':<18}{'CPU a message, us':>24}{'to raw':>8}{'messages/s':>12}{'p50 us':>9}"
          f"{'p99 us':>9}{'p99.9 us':>10}")
    for depth in sorted({line["depth"] for line in lines}):
        floor = [line["server_cpu_us"] for line in lines if line["depth"] == depth and line["server"] == "raw"]
        for server, name in NAMES.items():
            rounds = [line for line in lines if line["depth"] == depth and line["server"] == server]
            if not rounds:
                continue
            cpu = [line["server_cpu_us"] for line in rounds]
            rate, p50, p99, p999 = (statistics.median(line[key] for line in rounds)
                                    for key in ("messages_per_s", "p50_us", "p99_us", "p999_us"))
            # Round by round, since the servers of a round saw the same machine.
            ratio = statistics.median(mine / raw for mine, raw in zip(cpu, floor))
            print(f"{depth:>9}  {name:<18}{spread(cpu, '{:.2f}'):>24}{ratio:>8.2f}{rate:>12,.0f}{p50:>9,.0f}"
                  f"{p99:>9,.0f}{p999:>10,.0f}")


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


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    for line in lines:
        if line["scenario"] == "machine":
            print(f"{line['cpu']}, {line['cores']} cores, Linux {line['kernel']}; commit {line['commit']}, {line['at']}"
                  + ("; a smoke run: its figures mean nothing" if line["smoke"] else ""))
    for scenario in (echo, connections, messages):
        chosen = [line for line in lines if line["scenario"] == scenario.__name__]
        if chosen:
            scenario(chosen)
    print(f"\n{sys.argv[1]}")


main()
