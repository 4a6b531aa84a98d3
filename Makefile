# Every target makes what it needs: python3 (3.11 or later), make and a C compiler are enough.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
HEAVY  := .venv-heavy
PYTHONS ?= python3.12 python3.13 python3.14

.PHONY: demo test test-pythons test-heavy test-ray test-all chaos lint bench docs dist clean

$(VENV)/.base: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

$(VENV)/.demo: $(VENV)/.base
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[demo]'
	touch $@

$(VENV)/.docs: $(VENV)/.base
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[docs]'
	touch $@

$(HEAVY)/.made: pyproject.toml
	test -x $(HEAVY)/bin/python || $(PYTHON) -m venv $(HEAVY)
	$(HEAVY)/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev,heavy]'
	# In a folder of its own: beside a torch without CUDA its import fails, and Lightning tries it wherever it is.
	$(HEAVY)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --upgrade \
	  --target $(HEAVY)/torchvision torchvision==0.28.0
	touch $@

demo: $(VENV)/.demo      ## the main job on real photographs
	$(BIN)/python -m demo

test: $(VENV)/.base      ## the whole suite, without what needs heavy packages
	$(BIN)/python -m pytest -q -n 2 --dist worksteal --ignore tests/heavy

test-pythons:            ## the same under further interpreters: those of PYTHONS that are on the path
	@tested=""; missing=""; \
	for python in $(PYTHONS); do \
	  if ! $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2> /dev/null; then \
	    missing="$$missing $$python"; continue; \
	  fi; \
	  venv=.venv-$$($$python -c 'import sysconfig; print("python" + sysconfig.get_config_var("LDVERSION"))'); \
	  echo "== $$python ($$venv)"; \
	  { test -x $$venv/bin/python || $$python -m venv $$venv; } && \
	  $$venv/bin/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' && \
	  $$venv/bin/python -m pytest -q -n 2 --dist worksteal --ignore tests/heavy || exit 1; \
	  tested="$$tested $$python"; \
	done; \
	echo "tested:$${tested:- none}"; \
	echo "not found:$${missing:- none}"

test-heavy: $(HEAVY)/.made  ## what needs heavy packages, in an environment of its own
	$(HEAVY)/bin/python -m pytest -q --timeout 300 tests/heavy src/headrace/integrations --ignore tests/heavy/ray

test-ray: $(HEAVY)/.made  ## flows on a real Ray cluster; some minutes
	$(HEAVY)/bin/python -m pytest -q --timeout 300 tests/heavy/ray

test-all: test test-heavy test-ray  ## everything

chaos: $(VENV)/.base     ## kill workers and consumers at random, and count: 20 seeds, a minute each
	$(BIN)/python tests/exact/chaos.py --seeds 20 --seconds 60

lint: $(VENV)/.base      ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.base     ## headrace beside its peers, each in an environment of its own
	$(BIN)/python -m benchmarks

docs: $(VENV)/.docs      ## the documentation site, in build/site; warnings are errors
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

dist: $(VENV)/.base      ## wheel and sdist, each installed in an environment of its own and used there
	rm -rf dist build/clean
	$(BIN)/python -m build --outdir dist > /dev/null
	for package in dist/*.whl dist/*.tar.gz; do \
	  $(PYTHON) -m venv --clear build/clean && \
	  build/clean/bin/python -m pip install --quiet --disable-pip-version-check $$package && \
	  build/clean/bin/python -I .ci/check_installed.py || exit 1; \
	done

clean:
	rm -rf $(VENV) $(VENV)-python* $(HEAVY) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
