#!/usr/bin/env bash
# Runs every test: C under sanitizers, a few seconds of fuzzing, Swift, and the integration tests in Python, beside a
# throwaway Postgres. The last line is `N passed, N failed` over all of them. A stage that ran no test has failed.
set -euo pipefail
cd "$(dirname "$0")/.."

scripts/setup.sh --tests
swift_flags=(-c release -Xswiftc -enable-testing)
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT
passed=0
failed=0

# Adds what a stage counted. A stage that broke without a failed test, or that ran none, counts as one failure.
count() {
    local stage=$1 status=$2 stage_passed=$3 stage_failed=$4
    if ((stage_passed + stage_failed == 0 || (status != 0 && stage_failed == 0))); then
        echo "test: the $stage stage broke (exit $status)" >&2
        stage_failed=$((stage_failed + 1))
    fi
    echo "# $stage: $stage_passed passed, $stage_failed failed"
    passed=$((passed + stage_passed))
    failed=$((failed + stage_failed))
}

# Prints "passed failed" summed over JUnit files.
sum_junit() {
    python3 - "$@" <<'PYTHON'
import sys
import xml.etree.ElementTree as xml

passed = failed = 0
for path in sys.argv[1:]:
    try:
        root = xml.parse(path).getroot()
    except (OSError, xml.ParseError):
        continue
    for case in root.iter("testcase"):
        if case.find("failure") is not None or case.find("error") is not None:
            failed += 1
        elif case.find("skipped") is None:
            passed += 1
print(passed, failed)
PYTHON
}

# run_make STAGE ARGUMENTS...: a stage that make runs and whose last line counts.
run_make() {
    local stage=$1 compiler status=0 total
    shift
    compiler=$(command -v clang || echo "$(dirname "$(readlink -f "$(command -v swift)")")/clang")
    make --no-print-directory CC="$compiler" "$@" 2>&1 | tee "$results/make.log" || status=$?
    total=$(grep -E '^[0-9]+ passed, [0-9]+ failed$' "$results/make.log" | tail -n 1 || true)
    if [[ $total =~ ^([0-9]+)\ passed,\ ([0-9]+) ]]; then
        count "$stage" "$status" "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
    else
        count "$stage" "$status" 0 0
    fi
}

run_swift() {
    local status=0 counted
    # Half an hour is far beyond all of them: a hang is a failure. One test at a time, because many of them ask what
    # happens within a bound of time, and the machine may have two cores.
    SWIFT_BACKTRACE=interactive=no scripts/with-postgres.sh timeout --kill-after=10 1800 \
        swift test "${swift_flags[@]}" --skip-build --no-parallel --xunit-output "$results/swift.xml" \
        </dev/null 2>&1 | tee "$results/swift.log" || status=$?
    counted=$(sum_junit "$results"/swift*.xml)
    if ((status != 0)); then unfinished "$results/swift.log"; fi
    # shellcheck disable=SC2086 # two numbers
    count Swift "$status" $counted
}

# Prints the tests of a log that began and never ended: what a crash or a hang was in.
unfinished() {
    python3 - "$1" <<'PYTHON'
import re
import sys

begun = set()
for line in open(sys.argv[1], errors="replace"):
    if match := re.search(r"Test (\S+\(.*?\)) started", line):
        begun.add(match[1])
    elif match := re.search(r"Test (\S+\(.*?\)) (?:with .* )?(?:passed|failed)", line):
        begun.discard(match[1])
for name in sorted(begun):
    print(f"test: {name} began and never ended", file=sys.stderr)
PYTHON
}

# run_integration STAGE IO FILE...: the tests of the files, with the sockets of the servers they start on IO.
run_integration() {
    local stage=$1 io=$2 status=0 counted
    shift 2
    RINGWAY_TEST_IO=$io scripts/with-postgres.sh timeout --kill-after=10 3600 \
        .build-venv/bin/python -m pytest -p no:cacheprovider --junitxml="$results/python-$io.xml" "$@" </dev/null || status=$?
    counted=$(sum_junit "$results/python-$io.xml")
    # shellcheck disable=SC2086 # two numbers
    count "$stage" "$status" $counted
}

run_make C -C Tests/C
run_make fuzz -C Tests/Fuzz FUZZ_SECONDS=5
if swift build "${swift_flags[@]}" --build-tests; then
    run_swift
    run_integration integration auto Tests/Integration
    run_integration 'integration on epoll' epoll Tests/Integration/test_{bad_input,sessions,story}.py
else
    count build 1 0 0
fi
echo "$passed passed, $failed failed"
((failed == 0))
