# Everything that a desk or a CI runs. Needs Python 3.11 or later and make; the rest installs itself, pinned
# by hash, into .venv (and .venv-oracles for the independent implementations that tests compare with).

PYTHON ?= python3

VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
# AgentDojo's has a hundred packages, and is made by `make agentdojo` alone.
ORACLES := $(filter-out .venv-oracles/agentdojo/.ready,$(patsubst tests/oracles/%/requirements.lock,.venv-oracles/%/.ready,$(wildcard tests/oracles/*/requirements.lock)))
LOCKS := requirements/uv.lock requirements/run.lock requirements/dev.lock $(wildcard tests/oracles/*/requirements.lock)
# The tests that reach every branch of the kernel; what they run is measured, which slows it down.
KERNEL := tests/verifier tests/vectors tests/properties tests/oracles
PACKAGES := verifier/exequatur_verifier verifier/exequatur_gate log/exequatur_log issuer/exequatur_issuer cli/exequatur_cli

# uv uses the interpreter that it is given and never fetches another.
export UV_PYTHON_DOWNLOADS := never

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help softhsm demo test lint bench fmt vectors faults agentdojo mutate wheel lock clean distclean

help: ## show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

demo: $(VENV)/.run ## six phases on real commands of this machine, each failure provoked
	$(BIN)/exequatur demo

test: $(VENV)/.dev $(ORACLES) softhsm ## all tests, with 100 % branch coverage of the kernel
	@mkdir -p build/coverage
	$(BIN)/pytest $(KERNEL) --numprocesses=auto --cov
	$(BIN)/pytest --numprocesses=auto $(addprefix --ignore=,$(KERNEL))

lint: $(VENV)/.dev ## formatting, ruff, mypy strict, pyright strict on the kernel, import contracts
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/basedpyright
	$(BIN)/lint-imports

bench: $(VENV)/.dev $(ORACLES) ## ratios beside the raw operations; JSON in build/bench.json (LARGE=1, TABLE=file)
	@mkdir -p build
	$(BIN)/python -m tests.bench $(if $(LARGE),--large) $(if $(TABLE),--table $(TABLE))

fmt: $(VENV)/.dev ## format, and fix what ruff can fix
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format

vectors: $(VENV)/.dev ## write specs/vectors again, byte for byte
	$(BIN)/python -m tests.vectors.generate

faults: $(VENV)/.dev ## write specs/fault-matrix.md again: every call, every fault
	$(BIN)/python -m tests.faults.matrix --write

agentdojo: $(VENV)/.dev .venv-oracles/agentdojo/.ready ## judge AgentDojo's calls again, and compare with specs/agentdojo.md
	$(BIN)/pytest --quiet tests/agentdojo

mutate: $(VENV)/.dev ## the long campaign: every byte of every vector, all values
	$(BIN)/python -m tests.mutate

wheel: $(VENV)/.run ## build the wheel into dist/
	$(BIN)/pip wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	@ls dist/*.whl

lock: $(VENV)/.uv ## resolve the pins again (UPGRADE=1 takes the newest versions)
	$(COMPILE) --python-version 3.11 requirements/uv.in --output-file requirements/uv.lock
	$(COMPILE) --python-version 3.11 pyproject.toml requirements/build.in --extra all --output-file requirements/run.lock
	$(COMPILE) --python-version 3.11 pyproject.toml requirements/build.in --extra all --extra dev \
		--constraints requirements/run.lock --output-file requirements/dev.lock
	for oracle in tests/oracles/*/requirements.in; do \
		floor=$$(sed -n 's/^# Python //p' $$oracle); \
		$(COMPILE) --python-version $${floor:-3.11} $$oracle --output-file $${oracle%.in}.lock || exit 1; \
	done

clean: ## remove what was built, and the caches of the tools
	rm -rf build dist .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find $(PACKAGES) tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## remove the environments too
	rm -rf $(VENV) .venv-oracles

# Setting up. Each stamp is younger than the files it was made from, so that a second `make` does nothing.

COMPILE = UV_CUSTOM_COMPILE_COMMAND="make lock" $(UV) pip compile --quiet --no-config --universal \
	--generate-hashes --no-emit-index-url --no-emit-find-links $(if $(UPGRADE),--upgrade)

$(VENV)/.uv: requirements/uv.lock
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or later is needed: make PYTHON=/path/to/python3")'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes --only-binary :all: -r $<
	@touch $@

# What runs the product: the dependencies of every extra, the build backend, and this checkout.
$(VENV)/.run: $(VENV)/.uv requirements/run.lock pyproject.toml
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements/run.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# What develops it: the same pins and the tools. `sync` removes what is not locked, this checkout included.
$(VENV)/.dev: $(VENV)/.run requirements/dev.lock
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements/dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

# The token that the tests sign with. No package index has it, so it is the system's: where root runs the tests on
# Debian it is installed, and elsewhere its absence ends them. They are never left out unseen.
softhsm:
	@command -v softhsm2-util >/dev/null || { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
		&& apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y softhsm2 >/dev/null; } \
		|| { echo "The tests need SoftHSM2, for example: sudo apt-get install softhsm2" >&2; exit 1; }

.venv-oracles/%/.ready: tests/oracles/%/requirements.lock $(VENV)/.uv
	$(UV) venv --quiet --clear --python $(BIN)/python .venv-oracles/$*
	$(BIN)/pip --quiet --disable-pip-version-check --python .venv-oracles/$*/bin/python install \
		--require-hashes --no-deps --ignore-requires-python -r $<
	@touch $@
