"""Reads Autobahn's reports: summary.py DIRECTORY CASES VARIANT...

A case has passed if its behaviour and its close are OK, or such that the RFC lets a server choose (NON-STRICT, which is
named, and INFORMATIONAL). A case without a report has failed: a server that died halfway has not passed.
"""
import json
import sys
from collections import Counter
from pathlib import Path

PASSED = {"OK", "NON-STRICT", "INFORMATIONAL"}


def main() -> int:
    directory, expected, variants = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
    total = Counter()
    for variant in variants:
        try:
            cases = json.loads((directory / variant / "index.json").read_text())[variant]
        except (OSError, KeyError, ValueError) as error:
            print(f"{variant}: no report ({error})")
            cases = {}
        behaviours = Counter(case["behavior"] for case in cases.values())
        print(f"{variant}: {len(cases)} of {expected} cases; " +
              ", ".join(f"{count} {name}" for name, count in sorted(behaviours.items())))
        passed = 0
        for name, case in cases.items():
            passed += case["behavior"] in PASSED and case["behaviorClose"] in PASSED
            if case["behavior"] != "OK" or case["behaviorClose"] != "OK":
                print(f"    {name}: {case['behavior']}, close {case['behaviorClose']} ({case['remoteCloseCode']})")
        total["passed"] += passed
        total["failed"] += max(expected, len(cases)) - passed
    print(f"{total['passed']} passed, {total['failed']} failed")
    return total["failed"] > 0 or total["passed"] == 0


if __name__ == "__main__":
    sys.exit(main())
