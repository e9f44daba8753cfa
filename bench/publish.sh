#!/usr/bin/env bash
# Copies a run's plots into docs/performance/ and prints its tables, which are Markdown, for docs/performance.md.
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
python3 bench/report.py "$results"
for plot in docs/performance/cpu-*.svg; do echo "![$(basename "$plot" .svg)](performance/$(basename "$plot"))"; done
