# Servers for the benchmarks' Python programs: started on a free port, pinned to a core of their own where there are two,
# loaded by bench/load, stopped. Nothing is measured here.
import json
import os
import signal
import socket
import subprocess
import sys
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BIN = os.path.join(ROOT, ".build-bench")
ON_SERVER_CORE, ON_LOAD_CORE = ((["taskset", "-c", "0"], ["taskset", "-c", "1"]) if (os.cpu_count() or 1) > 1
                                else ([], []))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A running server; `load` options say how to speak to it. Stopping it returns what it printed."""

    def __init__(self, name, *options, load=(), binary=None):
        self.name, self.port, self.options = name, str(free_port()), list(load)
        self.process = subprocess.Popen([*ON_SERVER_CORE, *(binary or [os.path.join(BIN, name)]), "--port", self.port,
                                         *options], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        for _ in range(300):
            try:
                socket.create_connection(("127.0.0.1", int(self.port)), timeout=5).close()
                return
            except OSError:
                if self.process.poll() is not None:
                    break
                time.sleep(0.1)
        self.process.kill()
        sys.exit(f"bench: {name} does not listen: {self.process.communicate()[0]}")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.communicate(timeout=60)[0]
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.communicate()[0]

    def load(self, *options):
        """The generator's first line; with an `error` in it when it failed."""
        done = subprocess.run([*ON_LOAD_CORE, os.path.join(BIN, "load"), "--port", self.port, "--server-pid",
                               str(self.process.pid), *self.options, *options], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=400, check=False)
        line = json.loads(done.stdout.splitlines()[0]) if done.stdout else {}
        if done.returncode != 0:
            line["error"] = done.stderr.strip() or "the generator failed"
        return line
