# What a person types. Every target does its own set-up; caches stay below target/ and .venv/.
SHELL := /bin/bash
DIR ?= .
CARGO ?= cargo
PYTHON ?= python3
VENV := .venv
# The paths below are those of this checkout, wherever else cargo is told to build.
export CARGO_TARGET_DIR := $(CURDIR)/target
# ProxyStore is the client that must understand our files; this is the version whose behaviour is the contract.
PY_DEPS := proxystore==1.1.0 pytest jsonschema maturin ruff
WHEELS := target/wheels
# Where the benchmarks' report is, and whom they compare with.
BENCH := target/bench
RIVALS := ray obstore opendal
# Servers for tests: the S3 server that is started, and the program that starts servers for tests in Python.
export CROSSDOCK_S3S_FS ?= $(CURDIR)/target/servers/bin/s3s-fs
export CROSSDOCK_SERVERS := $(CURDIR)/target/debug/crossdock-servers

.PHONY: help demo test lint bench bench-short torture doc fmt clean wheel servers

help: ## This list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

demo: ## A tour on real files: make demo, or make demo DIR=some/directory
	@echo "Building; the first time takes a minute or two."
	@$(CARGO) build --release -p crossdock --example demo
	@target/release/examples/demo "$(DIR)" target/demo

test: test-rust test-python test-package test-torture ## All tests

.PHONY: test-rust test-python test-package test-torture
test-rust: servers
	$(CARGO) test --workspace --quiet

test-python: $(VENV)/ready servers
	$(CARGO) build --quiet -p crossdock-cli --bin crossdock
	$(CARGO) build --quiet -p crossdock --examples
	$(VENV)/bin/python -m pytest -q tests

test-package: wheel servers
	PYTHON="$(PYTHON)" VENV="$(VENV)" crates/crossdock-python/run-tests $(WHEELS)

wheel: $(VENV)/ready ## The Python package, as target/wheels/*.whl
	rm -rf $(WHEELS)
	$(VENV)/bin/python -m maturin build --quiet --release --locked -m crates/crossdock-python/Cargo.toml -o $(WHEELS)
	@ls $(WHEELS)/*.whl

servers: ## The servers that tests start: Redis, S3
	@CARGO="$(CARGO)" .ci/servers
	$(CARGO) build --quiet -p crossdock-servers

test-torture:
	@.ci/needs strace e2fsprogs util-linux redis-tools openssl
	$(CARGO) build --quiet --release -p crossdock-torture
	target/release/crossdock-torture

torture: ## The reliability table with its full counts (a quarter of an hour)
	@.ci/needs strace e2fsprogs util-linux redis-tools openssl
	$(CARGO) build --quiet --release -p crossdock-torture
	target/release/crossdock-torture --full

lint: $(VENV)/ready ## Formatting, clippy, ruff, documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings
	for features in "" local file shm redis "redis-tls local" s3 "gcs azure http" "local file testing"; do \
		$(CARGO) clippy -p crossdock --no-default-features --features "$$features" --quiet -- -D warnings || exit 1; \
	done
	$(CARGO) clippy -p crossdock-bench --all-targets --features rivals --quiet -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --all-features --quiet
	$(VENV)/bin/python -m ruff check --quiet
	$(VENV)/bin/python -m ruff format --check --quiet

bench: ## Every connector beside its rivals, against the targets; a report in target/bench (a quarter of an hour)
	@$(MAKE) --no-print-directory measured

bench-short: ## The same in two minutes, for a first impression
	@$(MAKE) --no-print-directory measured FORM=--short

.PHONY: measured
measured: $(VENV)/bench/ready wheel servers
	rm -rf $(BENCH) && mkdir -p $(BENCH)
	$(VENV)/bench/bin/python -m pip install --quiet --disable-pip-version-check --force-reinstall --no-deps $(WHEELS)/*.whl
	$(CARGO) run --release --quiet -p crossdock-bench --features rivals -- $(FORM) --json $(BENCH)/rust.json
	$(VENV)/bench/bin/python crates/crossdock-bench/python/compare.py $(FORM) --json $(BENCH)/python.json
	$(VENV)/bench/bin/python crates/crossdock-bench/python/render.py $(BENCH)

# Rivals are in an environment of their own. One that cannot be had is named by the report as absent.
$(VENV)/bench/ready: Makefile
	$(PYTHON) -m venv $(VENV)/bench
	$(VENV)/bench/bin/python -m pip install --quiet --disable-pip-version-check proxystore==1.1.0 redis numpy pandas matplotlib
	for rival in $(RIVALS); do $(VENV)/bench/bin/python -m pip install --quiet --disable-pip-version-check $$rival \
		|| echo "cannot be installed: $$rival"; done
	touch $@

doc: ## The documentation of the library, below target/doc
	$(CARGO) doc --workspace --no-deps --all-features

fmt: $(VENV)/ready ## Format the code
	$(CARGO) fmt --all
	$(VENV)/bin/python -m ruff format --quiet
	$(VENV)/bin/python -m ruff check --quiet --fix

clean: ## Remove everything that was built
	rm -rf target $(VENV)

$(VENV)/ready: Makefile
	$(PYTHON) -m venv $(VENV) || { .ci/needs python3-venv && $(PYTHON) -m venv $(VENV); }
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(PY_DEPS)
	touch $@
