# Every target makes its own virtual environment when there is none; nothing has to be run before it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3 python3.14; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
BENCHES := $(subst _,-,$(patsubst benchmarks/%.py,bench-%,$(filter-out benchmarks/_%,$(wildcard benchmarks/[a-z]*.py))))

# An environment holds its own path in every program: one that was moved or copied with its clone is made anew.
MADE_AT := $(if $(filter .venv,$(VENV)),$(shell cat $(VENV)/.made-at 2>/dev/null))
ifneq ($(MADE_AT),)
ifneq ($(MADE_AT),$(CURDIR))
$(shell rm -rf $(VENV))
endif
endif

.PHONY: help api images constraints test-compose run train evaluate test check check-deploy check-cluster test-cluster format bench chaos clients clean $(BENCHES)

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

run: $(VENV)/.run ## start everything on this machine (ARGS=--empty: without the demo shop)
	@$(BIN)/freshet run $(ARGS)

train: $(VENV)/.trainer ## train on the events, publish what is better than the live release (ARGS=...)
	@$(BIN)/freshet train $(or $(ARGS),--publish)

evaluate: $(VENV)/.trainer ## hold releases against what came next (ARGS="--events archive")
	@$(BIN)/freshet evaluate $(ARGS)

# Three at a time, whatever there are of cores: most tests wait for processes, and each worker has a Kafka and a
# Valkey of its own. JOBS=0: one by one.
JOBS ?= 3

test: $(VENV)/.dev ## all tests (ARGS=tests/unit: only these)
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder $(ARGS)

check: $(VENV)/.dev ## formatting, lint, types, import contracts, house rules
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache
	@$(BIN)/python -m pytest -q tests/house

check-deploy: $(VENV)/.dev ## every manifest, strictly, without a cluster (seconds)
	@$(BIN)/python -m tests.deploy

check-cluster: $(VENV)/.dev ## a real API server's verdict on every manifest (KUBECONFIG says which)
	@$(BIN)/python -m tests.cluster.verdicts $(ARGS)

test-cluster: $(VENV)/.dev ## run it on a cluster with Knative and KEDA: see docs/OPERATIONS.md
	@$(BIN)/python -m tests.cluster $(ARGS)

api: $(VENV)/.dev ## docs/API.md and docs/openapi.json, from what the services say of themselves
	@$(BIN)/python -m tools.make_api_reference

format: $(VENV)/.dev ## put the code in shape
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(BENCHES) ## every program behind a figure in the docs; bench-NAME is one of them

$(BENCHES): bench-%: $(VENV)/.dev
	@$(BIN)/python -m benchmarks.$(subst -,_,$*) $(ARGS)

chaos: $(VENV)/.dev ## kill a loaded Freshet again and again, then count what was acknowledged
	@$(BIN)/python -m benchmarks._chaos $(ARGS)

IMAGES := ingest profiler recommender gateway cli trainer
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)

images: $(VENV)/.dev ## build all images (ARGS="ingest cli": only these; EXTRAS=otel), say what each adds to its base
	@set -e; for service in $(or $(ARGS),$(IMAGES)); do \
		echo "freshet-$$service:$(VERSION)" >&2; \
		docker build --quiet --file deploy/Dockerfile --build-arg SERVICE=$$service --build-arg VERSION=$(VERSION) \
			--build-arg NUMPY=$$(case $$service in profiler) echo lean;; *) echo wheel;; esac) --build-arg EXTRAS=$(EXTRAS) \
			--build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null || echo unknown) \
			--build-arg SOURCE=$$(git remote get-url origin 2>/dev/null | grep -E '^(https://|git@|ssh://)') \
			--tag freshet-$$service:$(VERSION) . >/dev/null; \
	done
	@$(BIN)/python -m tests.compose.images

constraints: ## pin what the images carry to what is newest now
	@docker run --rm --volume $(CURDIR)/pyproject.toml:/source/pyproject.toml:ro --workdir /source python:3.13-slim sh -c \
		'pip install -q --root-user-action ignore uv >&2 && uv pip compile -q --universal --python-version 3.13 --no-header \
		--no-annotate $(foreach image,$(filter-out gateway,$(IMAGES)) otel,--extra $(image)) pyproject.toml' >deploy/constraints.new
	@head -1 deploy/constraints.txt | cat - deploy/constraints.new >deploy/constraints.tmp && rm deploy/constraints.new \
		&& mv deploy/constraints.tmp deploy/constraints.txt

test-compose: $(VENV)/.dev ## docker compose up in a real engine, containers killed one by one; takes it down again
	@$(BIN)/python -m tests.compose $(ARGS)

clients: $(VENV)/.dev ## build clients/python and clients/js into dist/, as they are published
	@rm -rf dist/clients && mkdir -p dist/clients
	@cd clients/python && ../../$(BIN)/python -m hatchling build --directory ../../dist/clients >/dev/null
	@cd clients/js && npm pack --silent --pack-destination ../../dist/clients >/dev/null
	@ls -l dist/clients

clean: ## remove the virtual environment and caches (never the data under .freshet)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis

# uv where it is, else venv and pip. A failed install leaves no stamp behind, so the next call tries again;
# an environment whose Python is too old or gone is made anew.
comma := ,
NEW_ENOUGH := import sys; sys.exit(sys.version_info < (3, 11))
define install
	@if ! $(BIN)/python -c '$(NEW_ENOUGH)' 2>/dev/null; then rm -rf $(VENV); \
		if [ -z "$(PYTHON)" ]; then echo "Freshet needs Python 3.11 or newer, and none was found. Install one, or say where it is: make $(or $(MAKECMDGOALS),run) PYTHON=/path/to/python" >&2; exit 1; fi; \
		$(PYTHON) -c '$(NEW_ENOUGH)' || { echo "Freshet needs Python 3.11 or newer, and $(PYTHON) is not. Say which to take: make $(or $(MAKECMDGOALS),run) PYTHON=/path/to/python" >&2; exit 1; }; \
	fi
	@if command -v uv >/dev/null 2>&1 && uv --version >/dev/null 2>&1; then \
		{ [ -x $(BIN)/python ] || uv venv -q --python $(PYTHON) $(VENV); } && uv pip install -q --compile-bytecode --python $(BIN)/python -e '.[$(1)]'; \
	else \
		{ [ -x $(BIN)/pip ] || $(PYTHON) -m venv $(VENV) || { \
			echo "Python has no venv module here (Debian, Ubuntu: apt-get install python3-venv)" >&2; rm -rf $(VENV); exit 1; }; } \
		&& $(BIN)/python -m pip install -q --disable-pip-version-check -e '.[$(1)]'; \
	fi || { echo "Freshet is not installed; the lines above say why. It needs a package index (a network; PIP_INDEX_URL and HTTPS_PROXY where that is a mirror or behind a proxy). The next make goes on." >&2; exit 1; }
	@printf '%s' "$(CURDIR)" >$(VENV)/.made-at
endef

$(VENV)/.run: pyproject.toml
	@echo "installing Freshet into $(VENV) (once) ..." >&2
	$(call install,local)
	@touch $@

$(VENV)/.trainer: pyproject.toml
	@echo "installing the trainer into $(VENV) (once, 0.6 GB) ..." >&2
	$(call install,local$(comma)trainer)
	@touch $@ $(VENV)/.run

$(VENV)/.dev: pyproject.toml
	@echo "installing Freshet and its development tools into $(VENV) (once) ..." >&2
	$(call install,dev)
	@touch $@ $(VENV)/.run $(VENV)/.trainer
