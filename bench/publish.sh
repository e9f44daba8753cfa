#!/usr/bin/env bash
# Publishes a run: its tables and plots become docs/performance/run.md. What is read from them is for docs/performance.md.
#
#   publish.sh [RESULTS.jsonl]     the latest run unless told
set -euo pipefail
cd "$(dirname "$0")/.."

results=${1:-$(find bench/results -name '*.jsonl' | sort | tail -n 1)}
if [[ ! -f $results ]]; then
    echo "publish: there is no results file; run make bench first" >&2
    exit 1
fi
mkdir -p docs/performance
rm -f docs/performance/cpu-*.svg
python3 bench/plots.py "$results" docs/performance/run >/dev/null
for plot in docs/performance/run-*.svg; do mv "$plot" "${plot/run-/}"; done
{
    echo "# The published run"
    echo
    echo "Written by \`bench/publish.sh\`. [performance.md](../performance.md) says how it was measured and what it shows."
    echo
    python3 bench/report.py "$results" | sed '$d'   # the file's name
    echo
    for plot in docs/performance/cpu-*.svg; do echo "![$(basename "$plot" .svg)]($(basename "$plot"))"; done
} >docs/performance/run.md
echo "publish: docs/performance/run.md is that of $results"
