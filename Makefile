# Every target sets up what it needs and is quick when repeated.
# ORT=cpu|gpu chooses onnxruntime for `serve` and `bench`; DATA=PATH a local copy of IMDB for `train` and `bench`;
# ARGS="..." adds flags.

PYTHON ?= python3
ORT ?= $(shell nvidia-smi >/dev/null 2>&1 && echo gpu || echo cpu)
DATA ?= data/aclImdb_v1.tar.gz
ARGS ?=

# One environment a purpose: onnxruntime and onnxruntime-gpu must not meet, and serving needs no torch.
DEV := .venv
CLIENTS := .venv-clients
SERVE := .venv-serve-$(ORT)
SERVE_EXTRA_cpu := serve,bulk,tracing
SERVE_EXTRA_gpu := gpu,bulk,tracing
SERVE_CONSTRAINTS_cpu := constraints.txt
SERVE_CONSTRAINTS_gpu := constraints-gpu.txt

# Compiled while the package is installed, if there is a C compiler.
NATIVE := hatch_build.py $(wildcard bundle/native/*.[ch])
BENCH_cpu := $(DEV)
BENCH_gpu := .venv-bench-gpu
BENCH := $(BENCH_$(ORT))

.DEFAULT_GOAL := help
.PHONY: help serve test lint format proto train bench up down compose-test lock build clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

serve: $(SERVE)/.ready ## run the service on the shipped model (ARGS="--grpc-port 0 ...")
	@exec $(SERVE)/bin/review-sentiment serve $(ARGS)

test: $(DEV)/.ready $(CLIENTS)/.ready ## run every test
	$(DEV)/bin/python -m pytest $(ARGS)

lint: $(DEV)/.ready ## check style, types, import rules, Dockerfiles, protos, and that generated code is current
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/mypy
	$(DEV)/bin/lint-imports
	$(DEV)/bin/hadolint deploy/docker/Dockerfile deploy/haproxy/Dockerfile
	$(DEV)/bin/python protos/lint.py
	$(DEV)/bin/python protos/generate.py --check

format: $(DEV)/.ready ## rewrite the code in the project's style
	$(DEV)/bin/ruff check --fix .
	$(DEV)/bin/ruff format .

proto: $(DEV)/.ready ## regenerate service/pb from protos/
	$(DEV)/bin/python protos/generate.py

train: $(DEV)/.ready ## train, export, verify and write the next models/imdb-lstm/<version> (DATA=PATH, ARGS="--seeds 3 ...")
	$(DEV)/bin/review-sentiment-export all --data $(DATA) $(ARGS)

bench: $(BENCH)/.ready ## measure the service beside a plain one, into runs/bench/ (DATA=PATH, ARGS="--quick ...")
	$(BENCH)/bin/python -m benchmarks.run $(if $(filter-out file,$(origin DATA)),$(addprefix --data ,$(DATA))) $(ARGS)

up: ## build the images and start balancer, service, Prometheus, Alertmanager and Grafana (docs/deploy.md)
	docker compose up --build --detach --wait

down: ## stop them again, and whatever a profile has added
	docker compose --profile '*' down

compose-test: $(DEV)/.ready ## the images and the stack for real: answers, alerts, a replica killed, a version rolled out
	$(DEV)/bin/python deploy/smoke.py

lock: $(DEV)/.ready ## resolve every dependency anew into the constraints files
	$(DEV)/bin/python deploy/lock.py

build: $(DEV)/.ready ## build the wheel and the source distribution into dist/
	$(DEV)/bin/python -m build

clean: ## remove the environments and caches
	rm -rf .venv .venv-clients .venv-serve-* .venv-bench-gpu .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist

# torch comes first: whatever depends on it then takes the build that is there.
$(DEV)/.ready: pyproject.toml constraints.txt $(NATIVE)
	$(PYTHON) -m venv $(DEV)
	$(DEV)/bin/pip install --quiet --constraint constraints.txt pip
	$(DEV)/bin/pip install --quiet --constraint constraints.txt torch
	$(DEV)/bin/pip install --quiet --constraint constraints.txt --editable '.[serve,export,bulk,ray,tracing]' --group test --group lint
	@touch $@

# torch beside onnxruntime-gpu, to compare them: what serves has no torch, and DEV has the other onnxruntime.
$(BENCH_gpu)/.ready: pyproject.toml constraints-gpu.txt
	$(PYTHON) -m venv $(BENCH_gpu)
	$(BENCH_gpu)/bin/pip install --quiet --constraint constraints-gpu.txt pip
	$(BENCH_gpu)/bin/pip install --quiet --constraint constraints-gpu.txt --editable '.[gpu,bulk]' --group test torch matplotlib
	@touch $@

# Other people's clients, which the tests run against our server: their protobuf is not ours.
$(CLIENTS)/.ready: constraints-clients.txt
	$(PYTHON) -m venv $(CLIENTS)
	$(CLIENTS)/bin/pip install --quiet --constraint constraints-clients.txt 'tritonclient[grpc]'
	@touch $@

$(SERVE)/.ready: pyproject.toml $(SERVE_CONSTRAINTS_$(ORT)) $(NATIVE)
	$(PYTHON) -m venv $(SERVE)
	$(SERVE)/bin/pip install --quiet --constraint $(SERVE_CONSTRAINTS_$(ORT)) pip
	$(SERVE)/bin/pip install --quiet --constraint $(SERVE_CONSTRAINTS_$(ORT)) --editable '.[$(SERVE_EXTRA_$(ORT))]'
	@touch $@
