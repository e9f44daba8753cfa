#!/usr/bin/env bash
# Regenerates Sources/Contract/Generated from Sources/Contract/proto. With --check, fails when what is committed
# differs from what would be generated.
set -euo pipefail
cd "$(dirname "$0")/.."

build=(swift build -c release -Xswiftc -enable-testing)
for product in protoc-gen-swift protoc-gen-grpc-swift-2; do
    "${build[@]}" --product "$product" >&2
done
bin=$("${build[@]}" --show-bin-path)

out=Sources/Contract/Generated
if [[ ${1:-} == --check ]]; then
    out=$(mktemp -d)
    trap 'rm -rf "$out"' EXIT
fi
mkdir -p "$out"
rm -rf "${out:?}"/*
protoc -I Sources/Contract/proto \
    --plugin="$bin/protoc-gen-swift" --plugin="$bin/protoc-gen-grpc-swift-2" \
    --swift_out="$out" --swift_opt=Visibility=Public --swift_opt=FileNaming=PathToUnderscores \
    --grpc-swift-2_out="$out" --grpc-swift-2_opt=Visibility=Public --grpc-swift-2_opt=FileNaming=PathToUnderscores \
    Sources/Contract/proto/ringway/v1/*.proto

if [[ ${1:-} == --check ]]; then
    diff -r "$out" Sources/Contract/Generated >&2 || {
        echo "proto: Sources/Contract/Generated is stale; run make proto and commit the result" >&2
        exit 1
    }
    echo "proto: generated code is up to date"
fi
