# Two commands do all the set-up on a machine that has Python >= 3.10 and make:  make demo  ·  make test
PYTHON ?= python3
VENV   ?= .venv
DIST   ?= dist
BIN    := $(VENV)/bin
UV     := $(BIN)/python -m uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --build-constraint constraints.txt
LIGHT  := -e core -e plugins/toy
ALL    := $(LIGHT) -e plugins/bop -e plugins/delftbikes -e plugins/onnxruntime -e plugins/torchvision -e plugins/openvino -e plugins/opencv_dnn -e plugins/tensorrt -e plugins/rtdetr_pose -e plugins/adaptivestream -e plugins/fasterrcnn_multitask -e plugins/transformers -r requirements-dev.txt
BUILT  := -e plugins/fasteval
BENCHED := anydet $(patsubst plugins/%/pyproject.toml,anydet-%,$(wildcard plugins/*/pyproject.toml))
PYPROJECTS := $(wildcard core/pyproject.toml plugins/*/pyproject.toml)

# Kept even where the environment says not to: without it every process compiles torch's modules anew.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo test soak check format lint types imports fast bench wheels docs docs-site docs-serve new-plugin clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

demo: $(VENV)/.light  ## synthetic scenes -> export -> validate -> evaluate, with a picture
	$(BIN)/anydet demo --out demo

test: $(VENV)/.all  ## everything CI runs: all tests but the soak tier
	$(MAKE) --no-print-directory lint types imports
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 -m "not soak"

soak: $(VENV)/.all  ## the tier that CI leaves out: kill series, sanitizers, long fuzzing and trainings
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 -m soak --dist loadfile --durations=0 --durations-min=1

check: $(VENV)/.all  ## format, lint, types, import rules, fast tests: under two minutes
	$(MAKE) --no-print-directory lint types imports fast

format: $(VENV)/.all  ## rewrite files in the house style
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint:
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types:
	$(BIN)/mypy

imports:
	$(BIN)/lint-imports --no-logo

fast:
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 -m "not slow and not soak"

bench: $(VENV)-bench/.done  ## ratios against named peers, in one run
	$(VENV)-bench/bin/python benchmarks/startup.py
	$(VENV)-bench/bin/python benchmarks/validate.py
	$(VENV)-bench/bin/python benchmarks/eval_coco.py
	$(VENV)-bench/bin/python benchmarks/fusions.py

wheels: $(BIN)/python  ## sdists and wheels of all packages, in the folder DIST (dist)
	for folder in $(dir $(PYPROJECTS)); do \
	  $(BIN)/python -m uv build --quiet --no-sources --build-constraint constraints.txt --out-dir "$(DIST)" "$$folder" || exit; \
	done

docs: $(VENV)/.all  ## write the generated reference pages
	$(BIN)/python docs/make_reference.py

docs-site: $(VENV)/.all  ## the documentation as a site in build/site, which opens without a network
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

docs-serve: $(VENV)/.all  ## the same on this machine's port 8000, built anew where a page changes
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs serve

new-plugin: $(VENV)/.light  ## plugins/NAME, a small adapter that works: make new-plugin NAME=foo
	@$(BIN)/anydet adapters new "$(NAME)" --out "plugins/$(NAME)" --json > /dev/null
	@cp core/LICENSE plugins/$(NAME)/
	@$(BIN)/python tools/join_workspace.py $(NAME)
	@echo "plugins/$(NAME): written; put your model into src/anydet_$(NAME)/adapter.py, then: make docs check"

clean:  ## remove the environment and what the demo made
	rm -rf $(VENV) demo

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv

$(VENV)-bench/.done: $(BIN)/python benchmarks/requirements.txt benchmarks/bare-requirements.txt $(PYPROJECTS)
	$(BIN)/python -m uv venv --quiet --allow-existing $(VENV)-bench
	# As users have it: wheels, and torch, transformers and what else there is in an environment beside.
	$(BIN)/python -m uv pip install --quiet --python $(VENV)-bench/bin/python --compile-bytecode --no-sources \
	  --constraint constraints.txt --build-constraint constraints.txt $(BENCHED:%=--reinstall-package %) \
	  $(dir $(PYPROJECTS)) -r requirements-dev.txt -r benchmarks/requirements.txt
	$(BIN)/python -m uv pip install --quiet --python $(VENV)-bench/bin/python --no-deps -r benchmarks/bare-requirements.txt
	touch $@

$(VENV)/.light: $(BIN)/python constraints.txt $(PYPROJECTS)
	$(UV) $(LIGHT)
	touch $@

$(VENV)/.all: $(BIN)/python constraints.txt requirements-dev.txt $(PYPROJECTS)
	$(UV) $(ALL)
	$(UV) --no-deps lvis==0.5.3 ensemble-boxes==1.0.9 imagecorruptions-imaug==1.1.5 scikit-image==0.25.2 lazy-loader==0.4  # oracles of tests; their dependencies would bring a second OpenCV, numba and pandas
	$(UV) --no-deps tensorrt-stubs==10.13.0.35.1  # types of TensorRT, which itself is for machines with its GPUs
	$(BIN)/python tools/mend_tensorrt_types.py
	$(UV) -e 'plugins/tensorrt[rtx]' || { test -z "$$CI" && echo "TensorRT-RTX is not installed (it is for Linux and Windows); no engine is built in tests"; }
	$(UV) $(BUILT) || { test -z "$$CI" && echo "anydet-fasteval was not built (it needs a C++ compiler); evaluation works without it, slowly"; }
	touch $@
