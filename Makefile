# One line does each job from a fresh clone: a private environment is made in .venv first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
LIGHT := $(VENV)-light
LOWEST := $(VENV)-lowest
DASK := $(VENV)-dask
NEIGHBOURS := $(VENV)-neighbours
BACKENDS := $(VENV)-backends
AUDIT := $(VENV)-audit
TORCH ?= torch
PYTEST := -m pytest -n 2 --dist loadfile --no-loadscope-reorder --max-worker-restart 1

.DEFAULT_GOAL := help
.PHONY: help demo test slow lint light lowest dask neighbours backends audit docs notebooks fidelity speed clean
.PRECIOUS: %/bin/python

help: ## show this list
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

%/bin/python:
	$(PYTHON) -m venv $*
	$@ -m pip install --quiet --upgrade pip

# The stamp of an extra is renewed when the dependencies change; an editable install needs no other
# renewal.
$(VENV)/.with-%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --editable ".[$*]"
	@touch $@

demo: $(VENV)/.with-demo ## simulate, train, compare and apply: writes hepsilon-demo/
	$(BIN)/hepsilon demo --out hepsilon-demo

# glibc fills new memory with the complement of this byte: reading what was never written shows.
test slow: export MALLOC_PERTURB_ := 90

test: $(VENV)/.with-test ## run the tests, ten to twelve minutes on two cores
	$(BIN)/python $(PYTEST) -m "not slow"

slow: $(VENV)/.with-test ## run the tests of whole programs and trainings: examples, recipes, the demo, other processes
	$(BIN)/python $(PYTEST) -m slow

lint: $(VENV)/.with-lint ## style, spelling, docstrings, types and the order of the layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/codespell
	$(BIN)/numpydoc lint $$(find src -name '*.py')
	$(BIN)/mypy
	$(BIN)/lint-imports

light: $(VENV)/.with-test | $(LIGHT)/bin/python ## apply what was trained, without any extra
	$(LIGHT)/bin/python -m pip install --quiet --force-reinstall --no-deps .
	$(LIGHT)/bin/python -m pip install --quiet .
	HEPSILON_LIGHT_PYTHON=$(abspath $(LIGHT))/bin/python $(BIN)/python -m pytest -rP tests/light

# Newer packages warn of what the oldest ones call: that is theirs to settle.
lowest: | $(LOWEST)/bin/python ## test the oldest versions that pyproject.toml declares
	$(LOWEST)/bin/python -m pip install --quiet uv
	$(LOWEST)/bin/uv pip install --quiet --python $(LOWEST)/bin/python \
		--resolution lowest-direct --editable ".[test]"
	$(LOWEST)/bin/python $(PYTEST) -p no:benchmark -W default::DeprecationWarning $(TESTS)

# dask-awkward asks for an older dask than everything else here.
dask: | $(DASK)/bin/python ## efficiencies in task graphs of dask-awkward, in pinned versions
	$(DASK)/bin/python -m pip install --quiet --requirement examples/dask_awkward/requirements.txt \
		--editable ".[simulate]" "pytest>=9" hypothesis scikit-hep-testdata
	HEPSILON_DASK_PINNED=1 $(DASK)/bin/python -m pytest tests/test_dask_example.py \
		tests/arrays/test_lazy.py tests/efficiencies/test_tracing.py

# What the frameworks beside hepsilon ask for: they cannot install it, but can use its files.
neighbours: $(VENV)/.with-test | $(NEIGHBOURS)-2025/bin/python $(NEIGHBOURS)-0.7/bin/python ## use exported files and maps with coffea 2025.9 and 0.7
	$(NEIGHBOURS)-2025/bin/python -m pip install --quiet "coffea==2025.9.*" "awkward==2.8.*" \
		correctionlib jinja2 lazy-loader loky matplotlib onnxruntime "pydantic>=2.11" vector
	$(NEIGHBOURS)-2025/bin/python -m pip install --quiet --no-deps .
	$(NEIGHBOURS)-0.7/bin/python -m pip install --quiet "coffea<2023" correctionlib onnxruntime \
		"setuptools<80"
	HEPSILON_COFFEA_2025=$(abspath $(NEIGHBOURS))-2025/bin/python \
		HEPSILON_COFFEA_07=$(abspath $(NEIGHBOURS))-0.7/bin/python \
		$(BIN)/python -m pytest tests/test_frameworks.py tests/neighbours

# TORCH="FILE.whl" takes torch from a file, such as the package without CUDA (900 MB installed).
backends: | $(BACKENDS)/bin/python ## the backends of Keras, torch among them: all that they do, and their agreement
	$(BACKENDS)/bin/python -m pip install --quiet --editable ".[test]"
	$(BACKENDS)/bin/python -m pip install --quiet $(TORCH)
	$(BACKENDS)/bin/python -m pytest tests/backends tests/efficiencies/engines/test_devices.py

# Asks the advisory database of the index that packages are installed from.
audit: $(VENV)/.with-test | $(AUDIT)/bin/python ## look for known holes in what is installed for the tests
	$(AUDIT)/bin/python -m pip install --quiet pip-audit
	$(AUDIT)/bin/pip-audit --skip-editable --path "$$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"

docs: $(VENV)/.with-docs ## build the documentation; a warning is an error
	$(BIN)/sphinx-build -W --keep-going -b html docs build/docs

notebooks: $(VENV)/.with-test ## the documentation with the outputs of the notebooks (they need open data)
	HEPSILON_NOTEBOOKS=run $(BIN)/sphinx-build -W --keep-going -b html docs build/docs

fidelity: $(VENV)/.with-test ## how close maps and networks come to the truth (about an hour)
	$(BIN)/python benchmarks/fidelity.py --out benchmarks/results/fidelity.json

speed: $(VENV)/.with-test ## inference, training and whole analyses (about half an hour)
	$(BIN)/python -m pytest benchmarks --benchmark-json=benchmarks/results/speed.json
	$(BIN)/python benchmarks/table.py benchmarks/results/speed.json
	$(BIN)/python benchmarks/tagging.py --out benchmarks/results/tagging.json

clean: ## remove the environments, the documentation and the demo's output
	rm -rf $(VENV) $(LIGHT) $(LOWEST) $(DASK) $(NEIGHBOURS)-* $(BACKENDS) $(AUDIT) build hepsilon-demo
