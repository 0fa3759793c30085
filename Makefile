# Everything sets itself up: `make demo` and `make test` work from a fresh clone, twice in a row, offline the second time.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# What a window without a screen needs on Debian: found by removing packages until it broke.
APT := xvfb xauth libgl1 libegl1 libglib2.0-0 libdbus-1-3 libfontconfig1 libxkbcommon-x11-0 libxcb-cursor0 libxcb-icccm4 \
  libxcb-keysyms1 libxcb-shape0

# 3D Slicer's core has a VTK of its own, so it lives apart; 3.12 is the Python of Slicer 5.10 and later.
SLICER_VENV := .venv-slicer
SLICER_READY := $(SLICER_VENV)/.ready
SLICER_PYTHON ?= $(shell for one in python3.12 $(HOME)/.pyenv/versions/3.12*/bin/python3.12 $(PYTHON); do \
  $$one -c 'import sys, ensurepip, venv' 2>/dev/null && echo $$one && break; done)
SLICER_PACKAGES := slicer-core==5.12.4.0 PySide6-Essentials pytest pytest-timeout hypothesis
SLICER ?=
# SLICER_TESTS="-m slow" for those that take long
SLICER_TESTS ?=

.PHONY: demo test test-slow test-slicer slicer-run-tests lint docs release-check bench pictures napari system python

demo: $(READY)
	$(BIN)/python examples/demo.py

test: $(READY) system
	$(BIN)/ruff check .
	$(BIN)/ruff check --preview --select PLW1514 .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/npe2 validate napari-boltzformer
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -n auto --dist loadfile tests

test-slow: $(READY) system
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -q -m slow -n 2 --dist loadfile tests

# The engine of the module's tests is the Python of .venv: Slicer's own has no torch either.
test-slicer: $(READY) $(SLICER_READY) system
	$(SLICER_VENV)/bin/python -c 'import sys; sys.version_info >= (3, 12) or print("Skipped: Python 3.12, Slicer\x27s own, for this machine has none; tested with", sys.version.split()[0])'
	OMP_NUM_THREADS=1 QT_QPA_PLATFORM=offscreen BOLTZFORMER_TEST_PYTHON=$(CURDIR)/$(BIN)/python \
	  $(SLICER_VENV)/bin/python -m pytest -q --confcutdir=tests/in_slicer $(SLICER_TESTS) tests/in_slicer

# For whoever has the application: make slicer-run-tests SLICER=/path/to/Slicer
slicer-run-tests:
	@test -n "$(SLICER)" || { echo "Say where it is: make slicer-run-tests SLICER=/path/to/Slicer"; exit 2; }
	"$(SLICER)" --no-splash --no-main-window --testing --additional-module-paths "$(CURDIR)/slicer_extension/BoltzFormer" \
	  --python-script "$(CURDIR)/slicer_extension/BoltzFormer/Testing/Python/run_in_slicer.py"

lint: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/mypy

docs: $(VENV)/.docs
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --config-file mkdocs.yml

release-check: $(VENV)/.release
	$(BIN)/python tools/release_check.py $(RELEASE)

# BENCH=--quick for a few minutes instead of an hour; tables, bench.json, bench.svg and bench.png in dist/bench
BENCH ?=
bench: $(READY)
	OMP_NUM_THREADS=1 $(BIN)/python benchmarks/everything.py $(BENCH)

pictures: $(READY) system
	NAPARI_CONFIG= xvfb-run -a -s "-screen 0 1400x1000x24" $(BIN)/python tools/viewer_pictures.py

napari: $(READY)
	$(BIN)/napari -w napari-boltzformer

$(VENV)/.docs $(VENV)/.release: $(VENV)/.%: $(READY)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[$*]'
	touch $@

$(READY): pyproject.toml constraints.txt | python
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt torch -e '.[all,test]'
	touch $@

$(SLICER_READY): pyproject.toml | python
	@test -n "$(SLICER_PYTHON)" || { echo "No Python with venv was found: make SLICER_PYTHON=/path/to/python3.12 test-slicer"; exit 1; }
	$(SLICER_PYTHON) -m venv --clear $(SLICER_VENV)
	$(SLICER_VENV)/bin/python -m pip install --quiet -e '.[desk]' $(SLICER_PACKAGES)
	touch $(SLICER_VENV)/ready $@

# Debian ships Python without venv; as root we fetch it, else we say what to run.
python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 …"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || $(MAKE) --no-print-directory system APT=python3-venv

system:
	@missing=""; for name in $(APT); do dpkg -s $$name >/dev/null 2>&1 || missing="$$missing $$name"; done; \
	test -z "$$missing" && exit 0; \
	if command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ]; then \
	  apt-get update -q && apt-get install -q -y --no-install-recommends -o DPkg::Lock::Timeout=120 $$missing; \
	else \
	  echo "Please run once, then again what you ran: sudo apt-get install -y --no-install-recommends$$missing"; exit 1; \
	fi
