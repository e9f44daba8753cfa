# Everything a contributor runs. `make run` and `make test` work on a fresh Debian 12 with Swift 6 and nothing else.
# The only build is the release one with testable modules, so that tests, benchmarks and the server share it.

SWIFT_FLAGS := -c release -Xswiftc -enable-testing
FUZZ_SECONDS ?= 60

.PHONY: help setup build run test lint fuzz autobahn kernels coverage proto proto-check contract-check contract-accept openapi \
    openapi-check bench bench-gate bench-accept clean

help:
	@echo "make run          install what is missing, build, start a private Postgres, migrate, serve"
	@echo "make test         the C, Swift and integration tests; the last line counts them"
	@echo "make build        build the server and every library"
	@echo "make fuzz         fuzz the codec and the server side, a minute a target (FUZZ_SECONDS=5: a smoke)"
	@echo "make autobahn     all 517 Autobahn cases on io_uring and epoll, plain and TLS; needs Python 2.7"
	@echo "make kernels      the C tests that meet the kernel, on Debian's kernels in virtual machines"
	@echo "make coverage     the lines of the codec that its tests and fuzz seeds reach; fails below 95 %"
	@echo "make lint         the rules of docs/style.md that a script can check"
	@echo "make proto        regenerate Sources/Contract/Generated (proto-check: fail when it is stale)"
	@echo "make contract-check  ask buf whether the contract keeps its rules and breaks no client; part of make lint"
	@echo "make contract-accept  what the contract says now is what clients may rely on; the commit says why"
	@echo "make openapi      write the HTTP API's description anew (openapi-check: fail when it is stale)"
	@echo "make bench        measure the server; figures go to bench/results/"
	@echo "make bench-gate   fail when the core costs more instructions, calls or bytes than bench/thresholds allows"
	@echo "make bench-accept measure and write new thresholds; the commit says why"
	@echo "make setup        install what is missing, and nothing else"
	@echo "make clean        remove what was built"

setup:
	@scripts/setup.sh --tests

build:
	@scripts/setup.sh
	@swift build $(SWIFT_FLAGS)

run:
	@scripts/run.sh

test:
	@scripts/test.sh

lint:
	@scripts/setup.sh --tests
	@scripts/lint.sh
	@scripts/contract.sh
	@scripts/migrations.sh

autobahn:
	@scripts/setup.sh --tests
	@Tests/Autobahn/run

fuzz:
	@scripts/setup.sh --tests
	@$(MAKE) --no-print-directory -C Tests/Fuzz FUZZ_SECONDS=$(FUZZ_SECONDS)

kernels:
	@scripts/setup.sh --kernels
	@Tests/Kernels/run

coverage:
	@scripts/setup.sh --tests
	@scripts/coverage.sh

proto:
	@scripts/setup.sh
	@scripts/proto.sh

proto-check:
	@scripts/setup.sh
	@scripts/proto.sh --check

contract-check:
	@scripts/setup.sh --tests
	@scripts/contract.sh

contract-accept:
	@scripts/setup.sh --tests
	@scripts/contract.sh --accept

openapi: build
	@scripts/setup.sh --tests
	@.build-venv/bin/python scripts/openapi.py .build/release/ringway

openapi-check: build
	@scripts/setup.sh --tests
	@.build-venv/bin/python scripts/openapi.py .build/release/ringway --check

bench:
	@scripts/setup.sh --tests
	@scripts/setup.sh --bench
	@bench/run.sh

bench-gate: build
	@scripts/setup.sh --tests
	@bench/gate.py
	@bench/gate.py --self-test

bench-accept: build
	@scripts/setup.sh --tests
	@bench/gate.py --accept

clean:
	@rm -rf .build .build-c .build-kernels .build-bench .build-venv .build-venv-bench .build-autobahn
