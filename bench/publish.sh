#!/usr/bin/env bash
# Publishes a run: its tables and plots become docs/performance/NAME.md. What is read from them is for docs/performance.md.
#
#   publish.sh [NAME [RESULTS.jsonl]]     run, and the latest run, unless told
set -euo pipefail
cd "$(dirname "$0")/.."

name=${1:-run}
results=${2:-$(find bench/results -name '*.jsonl' | sort | tail -n 1)}
if [[ ! -f $results ]]; then
    echo "publish: there is no results file; run make bench first" >&2
    exit 1
fi
page=docs/performance/$name
rm -f "$page"-cpu-*.svg
python3 bench/plots.py "$results" "$page" >/dev/null
{
    echo "# A published run"
    echo
    echo "Written by \`bench/publish.sh\`. [performance.md](../performance.md) says how it was measured and what it shows."
    echo
    python3 bench/report.py "$results" | sed '$d'   # the file's name
    echo
    # A run of some parts only may have none.
    for plot in "$page"-cpu-*.svg; do
        if [[ -f $plot ]]; then echo "![$(basename "$plot" .svg)]($(basename "$plot"))"; fi
    done
} >"$page.md"
echo "publish: $page.md is that of $results"
