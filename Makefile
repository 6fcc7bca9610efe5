# `make` lists the targets. A fresh machine needs Python 3.11 to 3.13 and make; the rest goes into .venv.
#
# Two lock files with hashes, each valid for Python 3.11, 3.12 and 3.13:
#   requirements.lock      what the program needs, and the viewer: the viewer adds few megabytes to the packages that
#                          running needs anyway, so that one file serves people, images and the demo
#   requirements-dev.lock  the same versions, and everything that tests, checks and benchmarks need besides
# Both hold the build backend, so that installing from them fetches nothing that is not locked.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
SCHEMA := docs/reference/request.schema.json
CLI    := docs/reference/cli.md
WRITE_SCHEMA = $(BIN)/clio-argo schema
MANIFESTS := manifests/base
WRITE_MANIFESTS = $(BIN)/python -m clio_argo.argo.manifests
WRITE_CLI    = $(BIN)/python -m typer clio_argo.cli.app utils docs --name clio-argo --title "Command line"
CHART  := helm/clio-argo
WORKERS ?= 2
PYTEST_ARGS ?=
# tests start hundreds of processes: compiled modules are kept, whatever the shell says
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo test properties mutants e2e check chart actions bench docs site sbom release release-dry lock clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/runtime ## align the small stack in tests/data/demo; ends with the paths of report and viewer
	$(BIN)/clio-argo run tests/data/demo/request.yaml --out build/demo

test: $(VENV)/dev ## unit and integration tests (PYTEST_ARGS="-k solve -x")
	$(BIN)/pytest -n $(WORKERS) --dist loadfile -m "not e2e and not properties" $(PYTEST_ARGS)
	@echo "not run: tests on a cluster (make e2e; docs/testing.md, 'On a cluster', says how to make one), make properties"

properties: $(VENV)/dev ## what takes many runs or large stacks to try: every setting, every moment (HYPOTHESIS_PROFILE=search tries more)
	$(BIN)/pytest -n $(WORKERS) -m properties $(PYTEST_ARGS)

mutants: $(VENV)/dev ## a sample of small changes to the source, and which of them no test notices (COUNT=40 SEED=1 MODULES=...)
	$(BIN)/python .ci/mutants.py --count $(or $(COUNT),40) --seed $(or $(SEED),1) --workers $(WORKERS) $(MODULES)

e2e: $(VENV)/dev ## tests on a Kubernetes cluster with Argo Workflows
	$(BIN)/pytest -n $(WORKERS) --dist loadfile -m e2e $(PYTEST_ARGS)

check: $(VENV)/dev ## style, types, layers, docstrings, dependencies, generated files, lock files
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	$(BIN)/python .ci/docs.py
	$(BIN)/deptry clio_argo
	$(BIN)/deptry benchmarks tests --exclude build --ignore DEP002,DEP004
	@if [ "`uname`" = Linux ]; then $(BIN)/hadolint images/Dockerfile && $(BIN)/shellcheck -x .ci/run .ci/sbom .ci/registry-server manifests/*.sh manifests/gke/*.sh; fi
	@$(WRITE_SCHEMA) | diff -u $(SCHEMA) - && $(WRITE_CLI) | diff -u $(CLI) - \
	   || { echo "docs/reference is out of date: run 'make docs' and commit it" >&2; exit 1; }
	@rm -rf build/manifests && $(WRITE_MANIFESTS) build/manifests && diff -ru $(MANIFESTS) build/manifests \
	   || { echo "$(MANIFESTS) is out of date: run 'make docs' and commit it" >&2; exit 1; }
	@if grep -nE '://|--(extra-)?index-url|--find-links|file:' requirements*.lock images/*.lock .ci/*.lock; then \
	   echo "a lock file names a place to download from: run 'make lock'" >&2; exit 1; fi
	$(BIN)/python -m pip check

# schemas of the very cluster, its Argo included
KUBECONFORM = kubeconform -strict -summary -schema-location 'build/schemas/{{.ResourceKind}}.json'
RENDER = helm template clio-argo $(CHART) --kube-version 1.34 --api-versions argoproj.io/v1alpha1/WorkflowTemplate
SCANNED := build/scanned
CHECKOV := $(VENV)/checkov
chart: $(VENV)/dev $(CHECKOV)/made ## lint and validate chart and manifests (needs helm, kubeconform, argo, and a cluster for its schemas)
	helm lint --strict $(CHART)
	kubectl get --raw /openapi/v2 | .ci/schemas build/schemas
	kubectl kustomize manifests | $(KUBECONFORM)
	for values in $(CHART)/ci/*.yaml; do $(RENDER) --values $$values | $(KUBECONFORM) || exit 1; done
	argo lint --offline $(MANIFESTS)/workflowtemplate.yaml
	rm -rf $(SCANNED) && mkdir -p $(SCANNED)
	kubectl kustomize manifests > $(SCANNED)/manifests.yaml
	$(BIN)/python .ci/pods < $(MANIFESTS)/workflowtemplate.yaml > $(SCANNED)/pods.yaml
	$(RENDER) --set global.imageRegistry=registry.example > $(SCANNED)/chart.yaml # without one `helm test` has no image
	$(CHECKOV)/bin/checkov --config-file .ci/checkov.yaml --directory $(SCANNED)
	$(BIN)/pytest tests/argo

actions: ## lint the workflow files of a forge (needs go)
	go run github.com/rhysd/actionlint/cmd/actionlint@v1.7.7

bench: $(VENV)/dev ## all benchmarks, as docs/benchmarks.md describes them (NAMES="whole decode"; BASE=COMMIT: in turns with it)
	$(BIN)/python -m benchmarks $(NAMES) $(if $(BASE),--base $(BASE))

docs: $(VENV)/dev ## regenerate what is generated in docs/reference and manifests
	@mkdir -p docs/reference
	$(WRITE_SCHEMA) > $(SCHEMA).new && mv $(SCHEMA).new $(SCHEMA)
	$(WRITE_CLI) > $(CLI).new && mv $(CLI).new $(CLI)
	$(BIN)/python -m clio_argo.argo.chart $(CHART)
	$(WRITE_MANIFESTS) $(MANIFESTS)

SITE := $(VENV)/docs
site: $(SITE)/made ## the documentation as a site in build/site; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(SITE)/bin/mkdocs build --strict --config-file .ci/mkdocs.yml
	@echo "python3 -m http.server --directory build/site shows it"

sbom: $(VENV)/dev ## what the images install, as CycloneDX documents in build/sbom
	PATH="$(abspath $(BIN)):$$PATH" .ci/sbom build/sbom

RELEASE := $(VENV)/release
# through the environment, where make puts them: a quote in one ends no word
MAKE_RELEASE = $(BIN)/python .ci/release.py --version "$$VERSION" --registry "$$REGISTRY" --tested "$$TESTED"
release: $(VENV)/dev $(RELEASE)/made ## packages, images and chart into dist/ and a registry (VERSION=0.1.0 REGISTRY=HOST/PATH; docs/releasing.md)
	$(MAKE_RELEASE)

release-dry: $(VENV)/dev $(RELEASE)/made ## what `make release` would do; makes all that needs neither registry nor docker
	$(MAKE_RELEASE) --dry

# Keeps the versions that are locked unless pyproject.toml rules them out; `make lock UPGRADE=--upgrade` takes the newest.
UV ?= uv
RESOLVE = $(UV) pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest \
          --generate-hashes --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" $(UPGRADE)
COMPILE = $(RESOLVE) pyproject.toml --group build
lock: ## resolve pyproject.toml into the lock files (needs uv)
	@command -v $(UV) >/dev/null || { echo "make lock needs uv: pip install uv" >&2; exit 1; }
	$(COMPILE) --extra dev --output-file requirements-dev.lock
	$(COMPILE) --extra viewer --constraint requirements-dev.lock --output-file requirements.lock
	for image in build image-write image-align; do \
	   $(RESOLVE) --group $$image --constraint requirements-dev.lock --output-file images/$${image#image-}.lock || exit 1; done
	$(RESOLVE) --group checkov --output-file .ci/checkov.lock
	$(RESOLVE) --group site --constraint requirements-dev.lock --output-file .ci/docs.lock
	$(RESOLVE) --group release --constraint requirements-dev.lock --output-file .ci/release.lock

clean: ## remove the environment and everything that was built
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find clio_argo tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

# --- the environment; each file is a stamp of what was installed last -------------------------------------------------

INSTALL = $(BIN)/python -m pip install --quiet --require-hashes --requirement
# the package itself, editable, with the locked build backend
INSTALL_SELF = $(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --no-index --editable .

$(VENV)/runtime: requirements.lock pyproject.toml | $(VENV)/made
	$(INSTALL) requirements.lock
	$(INSTALL_SELF)
	@touch $@

$(VENV)/dev: requirements-dev.lock pyproject.toml | $(VENV)/made
	$(INSTALL) requirements-dev.lock
	$(INSTALL_SELF)
	@touch $@ $(VENV)/runtime

$(CHECKOV)/made $(SITE)/made $(RELEASE)/made: $(VENV)/%/made: .ci/%.lock | $(VENV)/made
	$(PYTHON) -m venv $(VENV)/$*
	$(VENV)/$*/bin/python -m pip install --quiet --require-hashes --requirement .ci/$*.lock
	@touch $@

$(VENV)/made:
	@command -v $(PYTHON) >/dev/null || { \
	   echo "clio-argo needs Python 3.11, 3.12 or 3.13, and '$(PYTHON)' was not found; name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || { \
	   echo "clio-argo needs Python 3.11, 3.12 or 3.13, but '$(PYTHON)' is `$(PYTHON) --version 2>&1`; name another: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { \
	   echo "'$(PYTHON) -m venv' failed; on Debian and Ubuntu it needs: apt-get install python3-venv" >&2; rm -rf $(VENV); exit 1; }
	@touch $@
