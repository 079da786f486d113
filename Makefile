# What a person types. Every target does its own set-up; caches stay below target/ and .venv/.
SHELL := /bin/bash
DIR ?= .
CARGO ?= cargo
PYTHON ?= python3
VENV := .venv
# The paths below are those of this checkout, wherever else cargo is told to build.
export CARGO_TARGET_DIR := $(CURDIR)/target
# The interpreter whose answers the host patterns are held against, and the client that must understand our files.
PY_DEPS := proxystore==1.1.0 pytest jsonschema

.PHONY: help demo test lint bench torture doc fmt clean

help: ## This list
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

demo: ## A tour on real files: make demo, or make demo DIR=some/directory
	@echo "Building; the first time takes a minute or two."
	@$(CARGO) build --release -p crossdock --example demo
	@target/release/examples/demo "$(DIR)" target/demo

test: test-rust test-python test-torture ## All tests

.PHONY: test-rust test-python test-torture
test-rust:
	$(CARGO) test --workspace --quiet

test-python: $(VENV)/ready
	$(CARGO) build --quiet -p crossdock-cli --bin crossdock
	$(CARGO) build --quiet -p crossdock --examples
	$(VENV)/bin/python -m pytest -q tests

test-torture:
	@.ci/needs strace e2fsprogs util-linux
	$(CARGO) build --quiet --release -p crossdock-torture
	target/release/crossdock-torture

torture: ## The reliability table with its full counts (a quarter of an hour)
	@.ci/needs strace e2fsprogs util-linux
	$(CARGO) build --quiet --release -p crossdock-torture
	target/release/crossdock-torture --full

lint: ## Formatting, clippy, documentation
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --quiet -- -D warnings
	for features in "" local file "local file testing"; do \
		$(CARGO) clippy -p crossdock --no-default-features --features "$$features" --quiet -- -D warnings || exit 1; \
	done
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps --all-features --quiet

bench: ## What routing adds to a put, against its targets
	$(CARGO) bench --quiet -p crossdock-bench --bench routing
	$(CARGO) run --release --quiet -p crossdock-bench

doc: ## The documentation of the library, below target/doc
	$(CARGO) doc --workspace --no-deps --all-features

fmt: ## Format the code
	$(CARGO) fmt --all

clean: ## Remove everything that was built
	rm -rf target $(VENV)

$(VENV)/ready: Makefile
	$(PYTHON) -m venv $(VENV) || { .ci/needs python3-venv && $(PYTHON) -m venv $(VENV); }
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check $(PY_DEPS)
	touch $@
