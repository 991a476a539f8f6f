# Everything here needs Python >= 3.11, a C compiler, and the network for pip: nothing else installed.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --quiet --disable-pip-version-check
# Two tests at a time on two CPUs; pytest-benchmark has nothing to time in tests/, and would say so.
PARALLEL = -n auto --maxprocesses 4 --dist worksteal -p no:benchmark
SOURCES = setup.py pyproject.toml $(shell find fastxent -name '*.py*' -not -name '*.pyc' -o -name '*.pxd' -o -name '*.npz')

.DELETE_ON_ERROR:
.PHONY: help demo test test-oldest peers bench lint docs wheel coverage arm64 sanitize clean

# The sources lie beside the tests, without the compiled modules: no test is to import them.
demo test test-oldest peers docs sanitize: export PYTHONSAFEPATH = 1

help: ## show this
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 14

demo: $(VENV)/fastxent ## score the predictions that ship with fastxent, and ten million rows
	$(BIN)/python -m fastxent demo

test: $(VENV)/fastxent $(VENV)/group-test ## all tests but those against the peers
	$(BIN)/pytest $(PARALLEL) -m 'not peers' $(ARGS)

# Not what numpy's age cannot change, the kernels' bits; not types, for which its stubs are too old; and
# not what is imported, of which newer ones import a part themselves.
test-oldest: ## the tests with the oldest numpy
	$(MAKE) VENV=.venv-oldest .venv-oldest/group-test .venv-oldest/fastxent
	.venv-oldest/bin/python -m pip --quiet install 'numpy==2.0.*'
	.venv-oldest/bin/pytest $(PARALLEL) -m 'not peers and not numpy_independent' $(ARGS)

peers: $(VENV)/fastxent $(VENV)/group-peers ## the tests against scikit-learn, torch, ...
	$(BIN)/pytest -m peers $(ARGS)

bench: $(VENV)/fastxent $(VENV)/group-bench ## time everything, and write benchmarks/results/
	$(BIN)/python benchmarks/run.py $(ARGS)

lint: $(VENV)/group-lint ## formatting, style, types, spelling, workflows: all of pre-commit's hooks
	$(BIN)/pre-commit run --all-files $(ARGS)

docs: $(VENV)/fastxent $(VENV)/group-docs ## the documentation, in docs/_build/html; its code is run
	rm -rf docs/_build docs/api/generated
	$(BIN)/sphinx-build -W --keep-going -b doctest docs docs/_build/doctest
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

wheel: $(VENV)/group-wheel ## wheel and sdist in dist/, built twice, checked, tested in every Python
	$(BIN)/python tools/make_wheel.py $(ARGS)

# The lines of the kernels as well, in a build apart that counts them: tools/cython_coverage.py.
# That build has one level, is slow and large, and its threads wait for each other's counters: the mark
# `uncounted` is on the tests that ask for more.
coverage: export PYTHONPATH = .:tools
coverage: PYTHON_HERE = cd build/coverage && $(abspath $(BIN))/python
coverage: $(VENV)/group-coverage ## the lines that the tests run, .pyx and .pxd too: 95 % at least
	rm -rf build/coverage
	mkdir -p build/coverage
	cp -r Makefile *.md LICENSE pyproject.toml setup.py .ci benchmarks docs examples fastxent tests tools build/coverage
	export FASTXENT_COVERAGE=1 FASTXENT_WERROR=1; $(PYTHON_HERE) setup.py --quiet build_ext --inplace
	$(PYTHON_HERE) -m coverage run -m pytest -m 'not uncounted' $(ARGS)
	$(PYTHON_HERE) tools/cython_coverage.py gather
	$(PYTHON_HERE) -m coverage report
	$(PYTHON_HERE) -m coverage json --quiet
	$(PYTHON_HERE) tools/cython_coverage.py check

arm64: $(VENV)/fastxent $(VENV)/group-test ## the same bits on arm64, emulated (Debian, as root)
	tools/check_arm64.sh $(abspath $(BIN))/python

sanitize: export FASTXENT_FUZZ_CALLS ?= 60000
sanitize: ## the fuzz tests, on every level, under the address and undefined-behaviour sanitizers
	FASTXENT_SANITIZE=1 $(MAKE) VENV=.venv-sanitize .venv-sanitize/group-test .venv-sanitize/fastxent
	LD_PRELOAD=$$(gcc -print-file-name=libasan.so) ASAN_OPTIONS=detect_leaks=0 PYTHONMALLOC=malloc \
	    .venv-sanitize/bin/pytest tests/fuzz $(ARGS)

clean: ## remove everything that make made
	rm -rf build dist docs/_build .venv .venv-oldest .venv-sanitize *.egg-info

# The environment, and a stamp for each thing installed into it.
$(VENV)/pip:
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("fastxent needs Python 3.11 or later: make PYTHON=python3.x")'
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --upgrade 'pip>=25.1'
	touch $@

$(VENV)/group-%: $(VENV)/pip pyproject.toml
	$(PIP) install --group $*
	touch $@

# Not editable: what is tested is what users install. build/*/lib* goes first, or a module that is
# no longer in the sources would stay in the package; the object files beside it are used again.
$(VENV)/fastxent: $(VENV)/pip $(SOURCES)
	rm -rf build/*/lib*
	FASTXENT_WERROR=1 $(PIP) install .
	touch $@
