# One verb a job. Everything runs inside .venv, which `setup` makes from the hashed lock.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip --quiet --disable-pip-version-check install
STAMP := $(VENV)/.ready
# Bytecode is kept, wherever the caller's environment says not to: TensorFlow imports three times slower without it.
export PYTHONDONTWRITEBYTECODE :=
export TF_CPP_MIN_LOG_LEVEL ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup demo test soak check format compile lock clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv with every dependency, pinned by hash

$(STAMP): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit("make: %s is Python %d.%d; 3.11 to 3.13 is needed (make PYTHON=python3.11 ...)" % (sys.executable, *v))'
	$(PYTHON) -m venv $(VENV)
	@# Two dependencies are published as source only. The lock's own setuptools builds them: an isolated build would
	@# fetch another one without checking a hash.
	sed -n '/^setuptools==/,/[^\\]$$/p' $< > $(VENV)/build.txt
	$(PIP) --require-hashes --no-deps -r $(VENV)/build.txt
	$(PIP) --require-hashes --no-build-isolation --use-pep517 -r $<
	$(PIP) --no-deps --no-build-isolation --no-index --editable .
	@touch $@

demo: setup ## run the main job, offline, on an embedded data set
	$(BIN)/python -m pipelines.demo

test: setup check ## run every test
	$(BIN)/pytest

soak: setup ## kill trainings at random points, for about twenty minutes
	$(BIN)/pytest tests/soak

check: setup ## lint, types, layer rules, YAML
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/yamllint --strict .
	$(BIN)/frostline compile --check pipelines/compiled/finetune.yaml

format: setup ## format the sources
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

compile: setup ## compile the pipeline to pipelines/compiled/
	$(BIN)/frostline compile --output pipelines/compiled/finetune.yaml

lock: ## resolve the dependencies again (needs uv); names no index and no host
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links pyproject.toml -o requirements.lock
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
	  --no-emit-index-url --no-emit-find-links pyproject.toml --extra dev -c requirements.lock -o requirements-dev.lock

clean: ## remove what the build, the tests and the demo made
	rm -rf $(VENV) runs *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
