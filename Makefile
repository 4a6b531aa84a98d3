# Every target makes what it needs: python3 (3.11 or later), make and a C compiler are enough.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: demo test chaos lint bench clean

$(VENV)/.base: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]'
	touch $@

$(VENV)/.demo: $(VENV)/.base
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[demo]'
	touch $@

demo: $(VENV)/.demo      ## the main job on real photographs
	$(BIN)/python -m demo

test: $(VENV)/.base      ## the whole suite
	$(BIN)/python -m pytest -q

chaos: $(VENV)/.base     ## kill workers and consumers at random, and count: 20 seeds, a minute each
	$(BIN)/python tests/exact/chaos.py --seeds 20 --seconds 60

lint: $(VENV)/.base      ## style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/.base     ## headrace beside its peers, each in an environment of its own
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis
