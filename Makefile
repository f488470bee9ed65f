# Everything a fresh machine needs is made on the way: `make demo` and `make test` are complete commands.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/made
BENCH := .venv-bench/made
KERAS := .venv-keras/made
WORKERS ?= 2
# Where bytecode is not kept, each of hundreds of processes compiles the libraries anew: five seconds of every audit.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: help venv demo test lint format types contracts stubs docs laws law-table mutants planted kill masking slow bench-env keras-test clean

help: ## what there is to make
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' Makefile | column -t -s '|'

# pip brings torch (it follows pip's own configuration of indexes), uv the rest in seconds.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python -c constraints.txt -e '.[dev,docs]'
	touch $(STAMP)

venv: $(STAMP) ## the environment in .venv

demo: $(STAMP) ## a report on the network that ships with holdfast; then the story of the road signs, 5 minutes
	$(BIN)/holdfast demo
	$(BIN)/holdfast demo road-signs

test: $(STAMP) stubs ## every test but the long ones
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal

lint: $(STAMP) stubs ## style and form
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .

format: $(STAMP) ## write the form that lint wants
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP) ## mypy, strict
	$(BIN)/mypy

contracts: $(STAMP) ## imports only go down
	$(BIN)/lint-imports --no-logo

stubs: $(STAMP) ## write the .pyi files of the lazy names
	@$(BIN)/python tools/stubs.py

docs: $(STAMP) ## the documentation in docs/_build/html, a warning is an error
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

laws: $(STAMP) ## every attack under every law, the full product; the pages with each command in a process of its own
	OMP_NUM_THREADS=1 HOLDFAST_LAWS=full $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal -m 'slow or not slow' tests/laws tests/models/test_prepared.py tests/docs

law-table: $(STAMP) ## attack x law, with the number of tests in each cell
	$(BIN)/python tools/law_table.py

mutants: $(STAMP) ## 50 seeded mutants of the mathematics, and which survive; an hour
	$(BIN)/python tools/mutants.py --count 50 --seed 0 -o runs/mutants.json

planted: $(STAMP) ## each bug of the tests test_bNN_ planted, and whether its test fails; minutes
	$(BIN)/python tools/planted.py --jobs $(WORKERS)

kill: $(STAMP) ## runs killed at every seeded point
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n $(WORKERS) --dist worksteal -m 'kill or not kill' tests/evaluation/test_kill.py

masking: $(STAMP) ## how well the masking battery judges 116 masked and honest models; 8 minutes
	OMP_NUM_THREADS=1 $(BIN)/python tools/masking_table.py

slow: $(STAMP) ## reproductions of published figures
	$(BIN)/python -m pytest -q -m slow

$(BENCH): constraints.txt
	test -x .venv-bench/bin/python || $(PYTHON) -m venv .venv-bench
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch uv
	.venv-bench/bin/uv pip install --quiet --python .venv-bench/bin/python -c constraints.txt \
	    -e . foolbox adversarial-robustness-toolbox numba packaging opencv-python-headless
	.venv-bench/bin/python -m pip install --quiet --disable-pip-version-check --no-deps torchattacks==3.5.1 adv-lib==0.2.8
	touch $(BENCH)

bench-env: $(BENCH) ## the other toolkits, for comparisons, in .venv-bench

$(KERAS): pyproject.toml constraints.txt
	test -x .venv-keras/bin/python || $(PYTHON) -m venv .venv-keras
	.venv-keras/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch uv
	.venv-keras/bin/uv pip install --quiet --python .venv-keras/bin/python -c constraints.txt \
	    -e '.[keras,jax,tf]' 'hypothesis>=6.110' 'pytest>=8.3' 'pytest-randomly>=3.15' 'pytest-timeout>=2.3'
	touch $(KERAS)

keras-test: $(KERAS) ## Keras models on torch, JAX and TensorFlow, in .venv-keras (3 GB); 3 minutes
	for backend in torch jax tensorflow; do \
	    KERAS_BACKEND=$$backend TF_CPP_MIN_LOG_LEVEL=2 OMP_NUM_THREADS=1 \
	        .venv-keras/bin/python -m pytest -q tests/models/test_keras.py tests/models/test_keras_file.py; done

clean: ## remove what was made
	rm -rf .venv .venv-bench .venv-keras .venv-wheel build dist docs/_build docs/generated .mypy_cache .pytest_cache .ruff_cache \
	    .import_linter_cache .hypothesis
