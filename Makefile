# demo · test · slow · lint · bench · book · book-test · wheel: each makes .venv with a Python that MXNet supports and all that is needed.
#   make test PYTHON=python3.10   uses that interpreter
#   make demo EXTRAS=cu112        MXNet's CUDA build, in .venv-cu112: the builds own the same files
#   make bench ONLY=lyrics,style  those sections of benchmarks/RESULTS.md; the others stay as they are
#   make book FULL=1              the pages from whole chapters, not from --quick; CHAPTERS="3 15" makes some only

EXTRAS ?= cpu
VENV ?= .venv$(addprefix -,$(filter-out cpu,$(EXTRAS)))
PYTHON ?=
OUT ?= out
BIN = $(VENV)/bin
CANDIDATES = python3.11 python3.10 python3.12 python3.9 python3 python
SUITABLE = import sys, venv, ensurepip; sys.exit(not (3, 9) <= sys.version_info[:2] <= (3, 12))
# pip shows the warnings of setuptools about its own options
PIP = PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet -c constraints.txt

.PHONY: demo test slow lint bench book book-test wheel env clean same-python

demo: $(VENV)/done
	rm -rf $(OUT)/demo
	$(BIN)/gluonbook lyrics train --out $(OUT)/demo
	$(BIN)/gluonbook lyrics generate --model $(OUT)/demo --prefix 分开 --prefix 不分开 --seed 0
	@echo; echo "the plot of its perplexity: $(OUT)/demo/loss.png"

test: $(VENV)/dev lint
	$(BIN)/python -m pytest -n 2 --dist loadfile -m "not slow and not book"

slow: $(VENV)/dev
	$(BIN)/python -m pytest -n 2 -m slow

lint: $(VENV)/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(VENV)/bench
	$(BIN)/python benchmarks/run.py $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(ONLY),--only $(ONLY))

book: $(VENV)/docs
	$(BIN)/python docs/make_book.py $(if $(FULL),--full) $(if $(CHAPTERS),--chapters $(CHAPTERS))

book-test: $(VENV)/dev book
	$(BIN)/python -m pytest -n 2 -m book tests/test_docs_browser.py

wheel: $(VENV)/dev
	$(BIN)/python -m build --wheel

env: $(VENV)/done
	$(BIN)/gluonbook env

clean:
	rm -rf $(VENV) build dist *.egg-info

# The interpreter is tried, not only looked for: a name may be there that runs nothing.
$(VENV)/python:
	@for candidate in $(if $(PYTHON),$(PYTHON),$(CANDIDATES)); do \
	  if $$candidate -c '$(SUITABLE)' 2>/dev/null; then found=$$candidate; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "no Python 3.9 to 3.12 with venv found (MXNet 1.9.1 runs on no other); looked for:" \
	    "$(if $(PYTHON),$(PYTHON),$(CANDIDATES))." >&2; \
	  echo "Install one, or name it: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11" >&2; exit 2; \
	fi; \
	echo "using $$($$found --version) ($$found)"; \
	$$found -m venv $(VENV) && $(BIN)/python -m pip install --quiet --upgrade pip && touch $@

$(VENV)/done: $(VENV)/python setup.py constraints.txt | same-python
	@echo "installing into $(VENV): about a minute, once"
	@$(PIP) -e '.[$(EXTRAS)]'
	@touch $@

$(VENV)/dev: $(VENV)/done
	@$(PIP) -e '.[$(EXTRAS),d2l,dev]'
	@touch $@

$(VENV)/bench: $(VENV)/done
	@$(PIP) -e '.[$(EXTRAS),d2l,bench]'
	@touch $@

$(VENV)/docs: $(VENV)/done
	@$(PIP) -e '.[$(EXTRAS),docs]'
	@touch $@

same-python: $(VENV)/python
	@if [ -n "$(PYTHON)" ] && [ "$$($(PYTHON) --version)" != "$$($(BIN)/python --version)" ]; then \
	  echo "$(VENV) was made with $$($(BIN)/python --version); make clean first to use $(PYTHON)" >&2; exit 2; \
	fi
