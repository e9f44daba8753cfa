"""Reads Autobahn's reports: summary.py REPORTS AGAIN CASES VARIANT...
                          or: summary.py --late REPORTS VARIANT

A case has passed if its behaviour and its close are OK, or such that the RFC lets a server choose (NON-STRICT, which is
named, and INFORMATIONAL). A case without a report has failed: a server that died halfway has not passed. What AGAIN holds
of a case stands for what REPORTS does. --late prints the cases to be tried again, for a specification.
"""
import json
import sys
from collections import Counter
from pathlib import Path

PASSED = {"OK", "NON-STRICT", "INFORMATIONAL"}
# The suite ends most cases after a second, which the machine may have stood still for. One that fails sooner has failed.
# (One whose opening handshake was never answered has lasted since 1970.)
LATE_MS = range(900, 86_400_000)


def read(directory: Path, variant: str) -> dict:
    return json.loads((directory / variant / "index.json").read_text())[variant]


def has_passed(case: dict) -> bool:
    return case["behavior"] in PASSED and case["behaviorClose"] in PASSED


def print_late(directory: Path, variant: str) -> int:
    try:
        cases = read(directory, variant)
    except (OSError, KeyError, ValueError):
        cases = {}
    print(", ".join(f'"{name}"' for name, case in cases.items() if not has_passed(case) and case["duration"] in LATE_MS))
    return 0


def main() -> int:
    if sys.argv[1] == "--late":
        return print_late(Path(sys.argv[2]), sys.argv[3])
    directory, again, expected, variants = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), sys.argv[4:]
    total = Counter()
    for variant in variants:
        try:
            cases = read(directory, variant)
            if (again / variant).exists():
                second = read(again, variant)
                print(f"{variant}: tried again, because they failed late: {', '.join(second)}")
                cases |= second
        except (OSError, KeyError, ValueError) as error:
            print(f"{variant}: no report ({error})")
            cases = {}
        behaviours = Counter(case["behavior"] for case in cases.values())
        print(f"{variant}: {len(cases)} of {expected} cases; " +
              ", ".join(f"{count} {name}" for name, count in sorted(behaviours.items())))
        passed = 0
        for name, case in cases.items():
            passed += has_passed(case)
            if case["behavior"] != "OK" or case["behaviorClose"] != "OK":
                print(f"    {name}: {case['behavior']}, close {case['behaviorClose']} ({case['remoteCloseCode']})")
        total["passed"] += passed
        total["failed"] += max(expected, len(cases)) - passed
    print(f"{total['passed']} passed, {total['failed']} failed")
    return total["failed"] > 0 or total["passed"] == 0


if __name__ == "__main__":
    sys.exit(main())
