# make setup | run | test | lint | bench: the environment lives in .venv and is made once.
# The first that runs and is new enough: a name alone may be a shim with nothing behind it.
IS_NEW := import sys; sys.exit(sys.version_info < (3, 11))
PY ?= $(shell for name in python3.13 python3.12 python3.11 python3; do \
	"$$name" -c '$(IS_NEW)' 2>/dev/null && { command -v "$$name"; break; }; done)
BIN := .venv/bin
UV_VERSION := 0.13.8
PYTEST := $(BIN)/python -m pytest
LAB_ENV := $(or $(ABM_LAB_DIR),.cache/lab)/env

QUICK := "not engine and not browser"
HARD := "(faults or made_up) and not fleet"
ENGINES := "engine and not browser and not fleet and not faults and not made_up"
BROWSER := "browser and not fleet"
# Real servers and daemons have time limits that a machine busy with other tests may break: what
# failed is asked once more, alone. Anything but failed tests ends the run at once.
FAILED := -n 0 --last-failed --last-failed-no-failures none
ALONE := { test $$? -eq 1 || exit 1; echo "Once more, alone:";

# Every process of a test would compile Django anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help setup setup-dev run test test-fast test-hard test-fleet test-stack soak openapi lab-up lab-down lint format bench clean
.DEFAULT_GOAL := help

help:
	@echo "make setup   the locked environment in .venv"
	@echo "make run     abm on http://127.0.0.1:8765 (PORT, HOST and DATA_DIR choose others)"
	@echo "make test    everything that this machine can run"
	@echo "make lab-up  a Docker daemon, a registry and engines to try on them (root on Linux); lab-down ends it"
	@echo "make test-fleet  the tests that need the lab"
	@echo "make test-hard  parts killed, cut off, full, with a wrong clock; the API asked with made-up values"
	@echo "make test-stack  the image and the compose file, in the lab (needs docker-compose)"
	@echo "make soak    those that break things, at full length"
	@echo "make openapi  docs/openapi.json, written anew after a change of the API"
	@echo "make lint    ruff, mypy, template format, missing migrations; workflows, compose files, images, scripts"
	@echo "make bench   figures, written to bench/results.md"

$(BIN)/uv:
	@test -n "$(PY)" || { echo "abm needs Python 3.11 or newer; none was found. Install one, or name it: make PY=/path/to/python3.12"; exit 1; }
	@$(PY) -c '$(IS_NEW)' || { echo "abm needs Python 3.11 or newer; $(PY) is older. Install one, or name it: make PY=/path/to/python3.12"; exit 1; }
	@$(PY) -c 'import ensurepip, venv' 2>/dev/null || { echo "Python's venv is missing: sudo apt install python3-venv"; exit 1; }
	$(PY) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv==$(UV_VERSION)

.venv/.setup: requirements.lock $(BIN)/uv
	$(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --require-hashes -r requirements.lock
	@touch $@

.venv/.setup-dev: requirements.lock requirements-dev.lock $(BIN)/uv
	$(BIN)/uv pip install --quiet --system-certs --python $(BIN)/python --require-hashes -r requirements-dev.lock
	@touch .venv/.setup $@

setup: .venv/.setup
setup-dev: .venv/.setup-dev

run: setup
	@if [ -f $(LAB_ENV) ]; then set -a; . $(abspath $(LAB_ENV)); set +a; fi; exec $(BIN)/python manage.py serve

test: export ABM_SKIPPED := $(CURDIR)/.cache/skipped.txt
test: setup-dev
	@mkdir -p .cache && : > $(ABM_SKIPPED)
	$(PYTEST) -q -m $(QUICK) || $(ALONE) $(PYTEST) -q $(FAILED) -m $(QUICK); }
	$(BIN)/python -m tests.on_postgres -q -m $(QUICK) || $(ALONE) $(BIN)/python -m tests.on_postgres -q $(FAILED) -m $(QUICK); }
	$(PYTEST) -q -n 2 --dist loadfile -m $(ENGINES) || $(ALONE) $(PYTEST) -q $(FAILED) -m $(ENGINES); }
	$(PYTEST) -q -m $(BROWSER) || $(ALONE) $(PYTEST) -q $(FAILED) -m $(BROWSER); }

test-fast: setup-dev
	$(PYTEST) -q -m $(QUICK)

test-fleet: setup-dev
	$(PYTEST) -q -m fleet tests/fleet $(FLEET) || $(ALONE) $(PYTEST) -q $(FAILED) -m fleet tests/fleet $(FLEET); }

# abm in parts while what it stands on is killed, cut off, full or set back; and the API, asked with made-up values.
test-hard: setup-dev
	$(PYTEST) -q -m $(HARD) || $(ALONE) $(PYTEST) -q $(FAILED) -m $(HARD); }
	$(BIN)/python -m tests.on_postgres -q tests/engines/test_update_cuts.py

# The compose files, built and started on a daemon of their own. Each test file is one story, so one
# that failed is asked from its beginning.
test-stack: setup-dev
	$(PYTEST) -q -m fleet tests/stack || $(ALONE) $(BIN)/python -m tests.stack.again -q -m fleet; }

# -s: the figures are worth seeing.
soak: setup-dev
	ABM_SOAK=1 $(PYTEST) -q -s -m "fleet or process" tests/fleet/test_faults_*.py tests/abm/test_faults*.py
	ABM_SOAK=1 $(PYTEST) -q tests/api/test_made_up.py tests/hosts/test_pull_progress.py

lab-up lab-down: lab-%: setup
	@$(BIN)/python -m lab $*

openapi: setup-dev
	DATA_DIR=$$(mktemp -d) $(BIN)/python manage.py abm openapi > docs/openapi.json

# The scripts are pasted pieces: one uses a name in a line that is put in, and `a && b || fail` is meant.
lint: setup-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/djade --check --target-version 5.2 $$(git ls-files 'templates/*.html')
	$(BIN)/zizmor --quiet --offline .github
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec docker-compose.yml compose.*.yml
	$(BIN)/hadolint $$(git ls-files '*Dockerfile')
	$(BIN)/shellcheck .ci/run
	$(BIN)/shellcheck --shell sh --exclude SC2015,SC2034 $$(git ls-files '*.sh')
	DATA_DIR=$$(mktemp -d) $(BIN)/python manage.py makemigrations --check --dry-run

format: setup-dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/djade --target-version 5.2 $$(git ls-files 'templates/*.html')

bench: setup-dev
	$(BIN)/python -m bench

clean:
	@test ! -f $(LAB_ENV) || $(MAKE) lab-down
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache
