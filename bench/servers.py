# Servers for the benchmarks' Python programs: started on a free port, pinned to a core of their own where there are two,
# loaded by bench/load, stopped. Nothing is measured here.
import atexit
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # an exit, so that what is registered for it stops the servers
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BIN = os.path.join(ROOT, ".build-bench")
ON_SERVER_CORE, ON_LOAD_CORE = ((["taskset", "-c", "0"], ["taskset", "-c", "1"]) if (os.cpu_count() or 1) > 1
                                else ([], []))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A running server; `load` options say how to speak to it. Stopping it returns what it printed. With `counts` it tells
    its system calls when it is asked by SIGUSR1. It does not outlive this program, however that ends short of SIGKILL."""

    def __init__(self, name, *options, load=(), binary=None, counts=False):
        self.name, self.port, self.options, self.counts = name, str(free_port()), list(load), counts
        self.printed = tempfile.TemporaryFile("w+", encoding="utf-8")
        self.process = subprocess.Popen([*ON_SERVER_CORE, *(binary or [os.path.join(BIN, name)]), "--port", self.port,
                                         *options], cwd=ROOT, stdout=self.printed, stderr=subprocess.STDOUT)
        atexit.register(self.stop)
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", int(self.port)), timeout=5).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.1)
        self.process.kill()
        self.process.wait()
        sys.exit(f"bench: {name} does not listen: {self.text()}")

    def text(self):
        """What it has printed so far. Read without moving the place in the file at which it writes."""
        descriptor = self.printed.fileno()
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode()

    def stop(self):
        atexit.unregister(self.stop)
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        return self.text()

    def system_calls(self):
        """What it said so far when it was asked."""
        return [int(count) for count in re.findall(r"\bsyscalls (\d+)", self.text())]

    def load(self, *options):
        """The generator's first line; with an `error` in it when it failed. With `counts` and a loop that exchanges
        messages also `syscalls`, those of one message while messages were counted."""
        marks = self.counts and not {"storm", "hold"} & set(options)
        said = len(self.system_calls())
        if marks:
            options = (*options, "--mark")
        done = subprocess.run([*ON_LOAD_CORE, os.path.join(BIN, "load"), "--port", self.port, "--server-pid",
                               str(self.process.pid), *self.options, *options], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=400, check=False)
        line = json.loads(done.stdout.splitlines()[0]) if done.stdout else {}
        if done.returncode != 0:
            line["error"] = done.stderr.strip() or "the generator failed"
        elif marks and line["messages"] > 0:
            for _ in range(300):
                if len(calls := self.system_calls()[said:]) >= 2:
                    line["syscalls"] = (calls[1] - calls[0]) / line["messages"]
                    break
                time.sleep(0.01)
            else:
                line["error"] = "the server does not tell its system calls"
        return line
