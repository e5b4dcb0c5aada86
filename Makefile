# Two commands are all a newcomer needs: `make run` and `make test`. Each does its own set-up, again and again safely.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := run
VENV := .venv
BIN := $(VENV)/bin
LOCKED := $(VENV)/.locked-$(firstword $(shell sha256sum requirements.lock))

.PHONY: run test setup setup-test guest languages lock lint clean

run: setup guest
	@$(BIN)/cove --context vm run --steps --rm cove/hello
	@if [ -n "$${DISPLAY:-}$${WAYLAND_DISPLAY:-}" ]; then \
	  echo "Opening the window."; setsid $(BIN)/cove-desktop --context vm >/dev/null 2>&1 & \
	else echo "No display here: on a desktop this opens the window ($(BIN)/cove-desktop)."; fi

# Several processes take files of tests from one queue. More than four hold too many engines at once.
PARALLEL := -n auto --maxprocesses 4 --dist loadscope --no-loadscope-reorder

test: setup-test guest
	@$(BIN)/python -m pytest $(PARALLEL) $(PYTEST_ARGS)

# The window's languages: Qt Linguist's files, compiled.
CATALOGUES := $(patsubst %.ts,%.qm,$(wildcard desktop/ui/kit/languages/*.ts))

setup: $(LOCKED) vmagent/native/bin/spawner-x86_64 $(BIN)/.front $(CATALOGUES)

setup-test:
	@packaging/debian-deps.sh test
	@$(MAKE) --no-print-directory setup

$(LOCKED): requirements.lock
	@packaging/debian-deps.sh run
	@echo "Setting up $(VENV)"
	@[ -x $(BIN)/python ] || python3 -m venv $(VENV)
	@awk '/^[a-z0-9]/{own=/^uv==/} own' requirements.lock >$(VENV)/uv.lock
	@[ -x $(BIN)/uv ] || $(BIN)/pip install -q --disable-pip-version-check --require-hashes -r $(VENV)/uv.lock
	@$(BIN)/uv pip sync -q --python $(BIN)/python --require-hashes requirements.lock
	@$(BIN)/uv pip install -q --python $(BIN)/python --no-build-isolation --no-deps -e .
	@rm -f $(VENV)/.locked-* && touch $@

# The static programs, compiled by PyPI's ziglang.
vmagent/native/bin/spawner-x86_64: $(wildcard vmagent/native/*.c vmagent/native/*.py vmagent/native/*/*.[ch]) \
  vmagent/runtime/fields.py vmagent/runtime/plantypes.py
	@echo "Compiling the static programs"
	@$(BIN)/python -m vmagent.native.build
	@touch $@

%.qm: %.ts $(LOCKED)
	@# Put in place by a rename: a window that runs has the old one mapped.
	@$(BIN)/pyside6-lrelease -silent $< -qm $@.new && mv $@.new $@

# `cove` on Linux is a small program before the interpreter. It replaces the console script, in one step, as it may run.
$(BIN)/.front: $(LOCKED) vmagent/native/bin/spawner-x86_64
	@cp vmagent/native/bin/front-$$(uname -m) $(BIN)/.cove && mv $(BIN)/.cove $(BIN)/cove && touch $@

guest: setup
	@$(MAKE) --no-print-directory -C guest

# After a change of the window's texts: what is new is marked in languages/*.ts, to be translated.
languages: setup
	@$(BIN)/python -m tests.project.languages

lint: setup
	@$(BIN)/python -m pytest -q tests/project

# After a change of pyproject.toml's dependencies.
lock:
	$(BIN)/uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-emit-find-links \
	  --extra dev pyproject.toml -o requirements.lock

clean:
	rm -rf $(VENV) guest/build vmagent/native/bin desktop/ui/kit/languages/*.qm build dist *.egg-info
