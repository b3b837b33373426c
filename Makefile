# One line does each job from a fresh clone: a private environment is made in .venv first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test lint fidelity speed clean

help: ## show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

# The stamp is renewed when the dependencies change; an editable install needs no other renewal.
$(VENV)/.installed: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable ".[test,lint]"
	@touch $@

demo: $(VENV)/.installed ## simulate, train, compare and apply: writes hepsilon-demo/
	$(BIN)/hepsilon demo --out hepsilon-demo

test: $(VENV)/.installed ## run the tests
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 1

lint: $(VENV)/.installed ## style, types and the order of the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

fidelity: $(VENV)/.installed ## how close maps and networks come to the truth (about an hour)
	$(BIN)/python benchmarks/fidelity.py --out benchmarks/results/fidelity.json

speed: $(VENV)/.installed ## inference, training and whole analyses (about half an hour)
	$(BIN)/python -m pytest benchmarks --benchmark-json=benchmarks/results/speed.json
	$(BIN)/python benchmarks/table.py benchmarks/results/speed.json
	$(BIN)/python benchmarks/tagging.py --out benchmarks/results/tagging.json

clean: ## remove the environment and the demo's output
	rm -rf $(VENV) hepsilon-demo
