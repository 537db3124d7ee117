# Two commands for a fresh machine with Python 3.11+, make and the package index:
#   make demo    the main job, shown on a sample camera (or: make demo SOURCE=… FACE=… NAME=…)
#   make test    lint, types, import contracts and the whole test suite
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --retries 10 --timeout 60
JOBS ?= 2
export STREAMD_SHARED ?= ../shared
# A process that may not keep its bytecode compiles streamd at every start; tests start hundreds.
export PYTHONDONTWRITEBYTECODE :=

# SOURCE, FACE, NAME, MODELS and OUTPUT reach the demo as options, only when given.
DEMO_ARGS = $(if $(SOURCE),--source "$(SOURCE)") $(if $(FACE),--face "$(FACE)") \
            $(if $(NAME),--name "$(NAME)") $(if $(MODELS),--models "$(MODELS)") \
            $(if $(OUTPUT),--output "$(OUTPUT)")

.DEFAULT_GOAL := help
.PHONY: help demo test lint format types imports unit again clients services prometheus kubernetes chart bench bench-api \
        bench-vectors bench-batches bench-gate console fuzz soak lock image clean

help: ## Show what can be made
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/' | expand -t 18

demo: $(VENV)/.demo-ready ## Show the main job on a sample camera, or SOURCE=file-or-rtsp-url FACE=photo.jpg NAME=alice
	@$(BIN)/streamd demo $(DEMO_ARGS)

test: $(VENV)/.test-ready lint types imports unit ## Run the checks and the whole test suite

lint: $(VENV)/.test-ready ## Check style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.test-ready ## Mend style and format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(VENV)/.test-ready ## Check types strictly
	$(BIN)/mypy

imports: $(VENV)/.test-ready ## Check that imports go one way
	$(BIN)/lint-imports

unit: clients services ## Run the tests alone
	$(BIN)/pytest -n $(JOBS) --dist loadfile --no-loadscope-reorder || { test $$? -eq 1 && $(MAKE) again; }

again: ## Run those that failed last once more, one after the other
	@echo "== those that failed beside others, now alone"
	$(BIN)/pytest --last-failed --last-failed-no-failures none

clients: $(VENV)/.test-ready ## Install the AWS SDKs for JavaScript and Java that the tests drive
	@echo "== clients of other languages (their tests are skipped where one cannot be had)"
	@$(BIN)/python -m tests.support.client_programs

services: $(VENV)/.test-ready ## Get the S3 server, helm and the browser, which the tests run
	@echo "== a real S3 server, helm and Chromium (their tests are skipped where they cannot be had)"
	@$(BIN)/python -m tests.services.s3
	@$(BIN)/python -m tests.services.helm
	@$(BIN)/python -m tests.services.chromium

chart: $(VENV)/.test-ready ## Make the chart's schema, table and copies of rules and dashboards anew
	@$(BIN)/python -m tests.support.chart --write
	@$(BIN)/python -m tests.support.rendering --write

rtsp-server: $(VENV)/.test-ready ## Build the media server that the camera tests drive
	@echo "== a real RTSP server (its tests are skipped where it cannot be had)"
	@$(BIN)/python -m tests.services.rtsp

prometheus: $(VENV)/.test-ready ## Build Prometheus and promtool, which the monitoring tests run
	@echo "== a real Prometheus (its tests are skipped where it cannot be had); takes some minutes"
	@$(BIN)/python -m tests.services.prometheus

kubernetes: $(VENV)/.test-ready ## Build Kubernetes, in which the chart is installed with STREAMD_KUBERNETES=image
	@echo "== a real Kubernetes (its tests are skipped where it cannot be had); takes 10 to 20 minutes"
	@$(BIN)/python -m tests.services.kubernetes.programs

bench: $(VENV)/.bench-ready ## Measure streamd beside a plain loop, a pipe and the floor, or BENCH_ARGS=--quick
	@$(BIN)/python -m tests.bench $(BENCH_ARGS)

bench-api: $(VENV)/.bench-ready ## Measure API requests beside a bare server and a bare search
	@$(BIN)/python -m tests.bench.api $(BENCH_ARGS)

bench-vectors: $(VENV)/.bench-ready ## Measure face search at 10 thousand to 1 million faces
	@$(BIN)/python -m tests.bench.vectors $(BENCH_ARGS)

bench-batches: $(VENV)/.bench-ready ## Measure a network in batches, on a GPU where there is one
	@$(BIN)/python -m tests.bench.batches $(BENCH_ARGS)

bench-gate: $(VENV)/.bench-ready ## Measure what the gate saves on many scenes, and whether it loses anything
	@$(BIN)/python -m tests.bench.gate $(BENCH_ARGS)

CONSOLE := streamd/console/web
console: ## Check, test and build the page at /console (needs Node.js 20.19 or newer)
	@cd $(CONSOLE) && npm ci --no-audit --no-fund
	@cd $(CONSOLE) && npm run --silent check && npm run --silent test && npm run --silent build

SECONDS ?= 60
fuzz: $(VENV)/.fuzz-ready ## Fuzz the parsers, SECONDS=60 each, or one: TARGET=mkv
	@$(BIN)/python -m tests.fuzz $(TARGET) --seconds $(SECONDS)

MINUTES ?= 5
soak: $(VENV)/.test-ready ## Run a mixed load with faults for MINUTES=5 and keep the books
	@$(BIN)/python -m tests.soak --minutes $(MINUTES)

# docker, podman or buildah, whichever is there.
ENGINE ?= $(notdir $(firstword $(foreach one,docker podman buildah,$(shell command -v $(one)))))
VARIANT ?= cpu
EPOCH = $(shell git log -1 --format=%ct)
image: ## Build the container image localhost/streamd:cpu, or VARIANT=cuda; ENGINE=docker|podman|buildah
	@test -n '$(ENGINE)' || { echo "an image needs docker, podman or buildah" >&2; exit 1; }
	$(ENGINE) build --file deploy/Containerfile --tag localhost/streamd:$(VARIANT) \
	  --build-arg VARIANT=$(VARIANT) --build-arg SOURCE_DATE_EPOCH=$(EPOCH) \
	  --build-arg REVISION=$(shell git rev-parse HEAD) \
	  --build-arg VERSION=$(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml) \
	  $(if $(filter docker,$(ENGINE)),,--format docker --timestamp $(EPOCH)) $(IMAGE_ARGS) .

compose-env: ## Make deploy/.env, the passwords of deploy/compose.yaml
	@sh deploy/compose/make-env.sh

deploy-checker: $(VENV)/.test-ready ## Build what checks deploy/: BuildKit's linter, Compose's loader (minutes)
	@$(BIN)/python -m tests.deploy.checker

LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.13 --generate-hashes --upgrade \
       --custom-compile-command 'make lock'
EXTRAS = --extra faces --extra postgres
lock: $(VENV)/.test-ready ## Pin anew what the container image is made of
	$(LOCK) deploy/lock/build.in -o deploy/lock/build.txt
	$(LOCK) $(EXTRAS) --override deploy/lock/cpu-override.txt --no-emit-package onnxruntime-gpu \
	  pyproject.toml deploy/lock/cpu.in -o deploy/lock/cpu.txt
	$(LOCK) $(EXTRAS) --extra cuda pyproject.toml -o deploy/lock/cuda.txt

clean: ## Remove the environment and what checks left behind
	rm -rf $(VENV) .fuzz build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "streamd needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 1; }
	@echo "== creating $(VENV)"
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "python's venv module is missing (Debian and Ubuntu: apt install python3-venv)" >&2; exit 1; }
	@$(PIP) install --quiet --upgrade pip

$(VENV)/.demo-ready: pyproject.toml | $(BIN)/python
	@echo "== installing streamd and the face models (about 500 MB the first time)"
	@$(PIP) install --editable '.[faces,demo]'
	@touch $@

$(VENV)/.test-ready: pyproject.toml | $(BIN)/python
	@echo "== installing streamd and its test tools (about 600 MB the first time)"
	@$(PIP) install --editable '.[faces,demo,postgres,test]'
	@touch $@

$(VENV)/.fuzz-ready: pyproject.toml | $(BIN)/python
	@echo "== installing streamd and the fuzzer"
	@$(PIP) install --editable '.[faces,demo,test,fuzz]'
	@touch $@

$(VENV)/.bench-ready: pyproject.toml | $(BIN)/python
	@echo "== installing streamd and what it is measured against"
	@$(PIP) install --editable '.[faces,demo,test,bench]'
	@touch $@
