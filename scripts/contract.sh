#!/usr/bin/env bash
# Holds the contract: buf's rules, and that nothing is taken away from the clients of the last release.
#
#   contract.sh [DIR]      check the .proto files (of DIR; of this repository without one)
#   contract.sh --accept   what stands there now is what clients may rely on from here on: at a release, and when
#                          something is broken on purpose, with a commit that says why
#
# The baseline is a description of the contract in the repository, not a git tag: a clone may have no tags, and a
# change of the baseline is read like any other.
set -euo pipefail
cd "$(dirname "$0")/.."

proto=Sources/Contract/proto
baseline=$proto/baseline.json
buf=.build-venv/bin/buf

[[ -x $buf ]] || {
    echo "contract: $buf is missing; run make setup" >&2
    exit 1
}

if [[ ${1:-} == --accept ]]; then
    "$buf" build "$proto" --exclude-source-info --as-file-descriptor-set --output -#format=json |
        python3 -m json.tool --indent 1 >"$baseline.new"
    mv "$baseline.new" "$baseline"
    exit
fi

checked=${1:-$proto}
failed=0
"$buf" lint "$checked" >&2 || failed=1
"$buf" breaking "$checked" --against "$baseline" >&2 || failed=1
if ((failed)); then
    echo "contract: see $proto/buf.yaml" >&2
    exit 1
fi
echo "contract: keeps its rules and breaks no client"
