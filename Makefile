# `make help` lists the commands. They run inside .venv, which `setup` creates from the lock file.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
comma := ,
PIP := $(BIN)/pip --quiet --disable-pip-version-check install
STAMP := $(VENV)/.ready
# Python writes bytecode even if the caller's environment disables it: without it TensorFlow imports three times slower.
export PYTHONDONTWRITEBYTECODE :=
export TF_CPP_MIN_LOG_LEVEL ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup demo test soak check format compile lock image image-check accept clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## create .venv with all dependencies, checked by hash

$(STAMP): requirements-dev.lock pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit("make: %s is Python %d.%d; 3.11 to 3.13 is needed (make PYTHON=python3.11 ...)" % (sys.executable, *v))'
	$(PYTHON) -m venv --clear $(VENV)
	@# Two dependencies are published as source only. The setuptools of the lock builds them: an isolated build would
	@# download another setuptools without checking its hash.
	sed -n '/^setuptools==/,/[^\\]$$/p' $< > $(VENV)/build.txt
	$(PIP) --require-hashes --no-deps -r $(VENV)/build.txt
	$(PIP) --require-hashes --no-build-isolation --use-pep517 -r $<
	$(PIP) --no-deps --no-build-isolation --no-index --editable .
	@touch $@

demo: setup ## train and fine-tune a small model on built-in data, offline
	$(BIN)/python -m pipelines.demo

test: setup check ## run all checks and tests
	$(BIN)/pytest

soak: setup ## kill training at random points, for about 20 minutes
	$(BIN)/pytest tests/soak

check: setup ## check style, types, imports, YAML and the compiled pipeline
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/yamllint --strict .
	$(BIN)/frostline compile --check pipelines/compiled/finetune.yaml

format: setup ## format the source files
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .

compile: setup ## compile the pipeline to pipelines/compiled/
	$(BIN)/frostline compile --output pipelines/compiled/finetune.yaml

UV_COMPILE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
  --no-emit-index-url --no-emit-find-links

lock: ## resolve the dependencies again (needs uv)
	$(UV_COMPILE) pyproject.toml --extra cpu -o requirements.lock
	$(UV_COMPILE) pyproject.toml --extra gpu -c requirements.lock -o requirements-gpu.lock
	$(UV_COMPILE) pyproject.toml --extra cpu --extra dev -c requirements.lock -o requirements-dev.lock
	echo cyclonedx-bom | $(UV_COMPILE) - -c requirements-dev.lock -o docker/sbom.lock

# TARGET=gpu builds the other image. BASE and PIP_CONFIG (a pip.conf with a private index) are optional.
TARGET ?= cpu
VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
IMAGE ?= frostline:$(VERSION)$(if $(filter-out cpu,$(TARGET)),-$(TARGET))
ENGINE ?= $(shell docker info > /dev/null 2>&1 && echo docker || echo podman)

image: ## build the image of the steps with docker or podman
	$(ENGINE) build -f docker/Dockerfile --target $(TARGET) -t $(IMAGE) $(if $(BASE),--build-arg BASE=$(BASE)) \
	  --label org.opencontainers.image.version=$(VERSION) \
	  --label org.opencontainers.image.revision=$$(git rev-parse HEAD) \
	  $(if $(PIP_CONFIG),--secret id=pip$(comma)src=$(PIP_CONFIG)) $(BUILD_OPTIONS) .

accept: setup ## try a real Kubeflow: KFP_HOST, FROSTLINE_IMAGE and the current kubeconfig name it
	$(BIN)/pytest tests/acceptance

image-check: ## run the demo in the image: any user, read-only, no network, no capability
	$(PYTHON) docker/check.py $(ENGINE) $(IMAGE)

clean: ## remove .venv, runs/ and caches
	rm -rf $(VENV) runs *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
