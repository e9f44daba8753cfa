# The figures that the core and the services are to reach, and what a run's figures are worth against them. Nothing is
# measured here.
#
# A table asks for a verdict where it shows a figure; the list of all of them stands at the report's head.
SMALL, LARGE = 1.05, 1.10
INSTRUCTIONS = {("echo_core", 16): 100, ("echo_core", 1): 200, ("ringway", 16): 250, ("ringway", 1): 450}
IDLE_BYTES, IDLE_CONNECTIONS = {"echo_core": 200, "echo_core_tls": 12 << 10}, 19000
EPOLL_SHARE = 0.85
FAN_OUT = 1.0
ALLOCATIONS = 0
P99_MS = {"reads": 20, "writes": 100, "logins": 50}
CACHE_GAIN, CACHED = 2, ("own profile", "friends", "settings")
TOKEN_CHECK_US = 100


class Verdicts:
    """Collects (what, target, measured, met or MISSED); nothing while it is off, as for a smoke run."""

    def __init__(self):
        self.rows, self.on = [], True

    def _judge(self, what, target, measured, met):
        if not self.on:
            return ""
        self.rows.append([what, target, measured, "met" if met else "MISSED"])
        return f"{target} {self.rows[-1][-1]}"

    def at_most(self, what, value, bound, form="{:,.2f}"):
        """The text of a table's target cell; empty without a bound. What is printed is what is judged."""
        shown = form.format(value)
        return "" if bound is None else self._judge(what, f"<= {form.format(bound)}", shown,
                                                    float(shown.replace(",", "")) <= bound)

    def at_least(self, what, value, bound):
        shown = f"{value:.2f}"
        return self._judge(what, f">= {bound:.2f}", shown, float(shown) >= bound)


def cpu_ratio(server, size, connections):
    """What `ringway echo` may cost, as a ratio to the better raw echo; None: no target speaks of it."""
    if server != "ringway" or connections not in (100, 1000):
        return None
    return SMALL if size <= 512 else LARGE


def instructions(server, size, depth):
    return INSTRUCTIONS.get((server, depth)) if size == 16 else None


def idle_bytes(server, connections):
    return IDLE_BYTES.get(server) if connections == IDLE_CONNECTIONS else None


def p99_ms(phase, kind, server):
    """Of a server with its default settings; those that it is compared with have no target, nor has a log-in itself."""
    return P99_MS.get(phase) if server in ("serve", "million") and kind != "log-in" else None


def is_ours(server):
    """Among those that are counted."""
    return server not in ("raw_echo", "raw_epoll")
