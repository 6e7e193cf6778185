# Two commands matter: `make demo` and `make test`. Everything they need is installed by them, by name, from the lock files.
SHELL := /bin/bash
.DEFAULT_GOAL := help
# The system's own where it is new enough and can make environments: distributions build it with profiles, which takes a
# tenth off the tests; who builds one by hand seldom does.
PYTHON ?= $(shell for each in /usr/bin/python3 python3; do \
	$$each -c 'import ensurepip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$each && exit; done; echo python3)
V := .venv/bin
CACHE := $(or $(HOMEROOM_CACHE),$(HOME)/.cache/homeroom)
# Two for each of two cores: tests with servers wait half of their time, and meanwhile the core belongs to the other.
WORKERS ?= 4
# Tests start many processes; where bytecode is not kept, each of them would compile all of Homeroom.
unexport PYTHONDONTWRITEBYTECODE

help:  ## what there is to make
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

# The stamp changes with the lock file only; the package itself is installed editable.
.venv/stamp: requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit("Homeroom needs Python 3.11 or newer; set PYTHON=/path/to/python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv
	$(V)/pip install --quiet --no-deps --no-compile --require-hashes -r requirements/dev.txt
	$(V)/python -m compileall -qq -j 0 .venv/lib
	$(V)/pip install --quiet --no-deps --no-build-isolation -e .
	@touch $@

.PHONY: help .venv lint servers test unit integration properties histories storm demo pictures bench crds lock
.venv: .venv/stamp  ## the virtual environment

lint: .venv/stamp  ## style, types, layers
	$(V)/ruff format --check .
	$(V)/ruff check .
	$(V)/mypy --cache-dir $(CACHE)/mypy
	$(V)/lint-imports

servers: .venv/stamp  ## build the control plane and install Kolibri and Synapse, unless that is done
	$(V)/python -m homeroom.demo.controlplane build
	$(V)/python -m homeroom.demo.kolibri install
	$(V)/python -m homeroom.demo.synapse install

unit: .venv/stamp  ## tests without servers (but PostgreSQL, of which a wheel brings one)
	$(V)/pytest tests/unit -n $(WORKERS)

integration: servers  ## tests against real servers
	$(V)/pytest tests/integration -n $(WORKERS)

test: lint servers  ## everything that has to hold, in one go
	$(V)/pytest tests -n $(WORKERS)

properties: .venv/stamp  ## all properties with many more examples than `make test` has (TIMES=N)
	HOMEROOM_EXAMPLES=$(or $(TIMES),20) $(V)/pytest tests/unit -m hypothesis --timeout=0 -n $(WORKERS)

histories: .venv/stamp  ## many more random histories of guards and holds than `make test` has (HISTORIES=N)
	HOMEROOM_HISTORIES=$(or $(HISTORIES),20000) $(V)/pytest tests/unit/plan/test_hold.py -k random_histories --timeout=0 -n $(WORKERS)

storm: servers  ## many more licences in the storm over a pool than `make test` has (LICENCES=N SEED=N)
	HOMEROOM_STORM=$(or $(LICENCES),2000) HOMEROOM_STORM_SEED=$(or $(SEED),1) $(V)/pytest tests/integration/test_storm.py --timeout=0

demo: .venv/stamp  ## the whole story on this machine (CLUSTER=current uses your cluster, ONCE=1 ends by itself)
	$(V)/homeroom demo $(if $(filter 1,$(ONCE)),--once) $(if $(CLUSTER),--cluster $(CLUSTER))

pictures: .venv/stamp  ## pictures of the web pages, from the demo and a test, into docs/ (needs a Chromium)
	$(V)/homeroom demo --once --pictures docs/pictures
	HOMEROOM_PICTURES=docs/pictures $(V)/pytest tests/unit/web/test_in_a_browser.py -k starts_a_call

bench: .venv/stamp  ## speed and memory, as ratios to named peers
	$(V)/python bench/run.py

crds: .venv/stamp  ## write crds/*.yaml from the models
	$(V)/homeroom crds --dir crds

lock: .venv/stamp  ## pin all dependencies anew, with hashes and without registry addresses
	$(V)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --extra postgres pyproject.toml -o requirements/run.txt
	$(V)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --extra postgres --extra demo --group dev pyproject.toml -o requirements/dev.txt
	echo hatchling | $(V)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-header --no-annotate --constraint requirements/dev.txt - -o requirements/build.txt
