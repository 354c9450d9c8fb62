# make book   build the book           make test   run every check
# make help   lists the rest. Needed beforehand: Python >= 3.11 and make.

PYTHON ?= python3
TORCH := 2.13.0
BIN := .venv/bin
PYTEST := $(BIN)/python -m pytest

# Two processes of one thread each: a fair use of two cores, and the same sums on any number of them.
THREADS := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1
PAIR := -n 2 --dist loadfile

# Decoded data sets stay in the repository's folder, which git ignores.
export EBMLEARN_CACHE ?= $(CURDIR)/data/cache
export EBMLEARN_PROGRESS ?= 0
export PIP_DISABLE_PIP_VERSION_CHECK := 1
lab: export EBMLEARN_PROGRESS := 1

.NOTPARALLEL:
.DELETE_ON_ERROR:
.PHONY: help book check test lint types unit slow doctest pairs pages nbval short wheel shake notebooks format student solutions pdf lab figure benchmark truth bakeoff gpu lock clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:[^#]*## /\t/' | expand -t 12

# Newer than both files means: installed from them.
.venv/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python >= 3.11 is needed; this is " + sys.version + ". Name another one: make PYTHON=python3.12 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[data,plot,devices,book,dev]'
	@touch $@

book: .venv/.ready ## build the book into _build/html; a warning is an error
	$(BIN)/jupyter-book build -W -n --keep-going .
	@echo "Open file://$(CURDIR)/_build/html/index.html"

check: lint types unit ## lint, types and the fast tests: for each change; under three minutes

pdf: .venv/.ready ## the book as one PDF, printed by Chromium (apt install chromium): _build/pdf/book.pdf
	@$(BIN)/python book/pdf.py check
	$(BIN)/jupyter-book build --all --builder singlehtml .
	$(BIN)/python book/pdf.py

STAGES := lint types unit slow doctest pairs book pages nbval short wheel
test: .venv/.ready ## every check, one after the other; stops at the first that fails; in the end the time of each
	@for stage in $(STAGES); do \
		began=$$(date +%s); \
		$(MAKE) --no-print-directory $$stage || exit 1; \
		times="$$times$$(printf '%-8s %4d s' $$stage $$(($$(date +%s) - began)))\n"; \
	done; printf "\n$$times"

lint: .venv/.ready ## ruff: lint and format, notebooks too
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .venv/.ready ## mypy on the package
	$(BIN)/mypy

unit: .venv/.ready ## fast tests, and line coverage of ebmlearn of at least 95 %
	$(THREADS) $(PYTEST) tests -q -m "not slow and not browser" -n 2 --cov=ebmlearn --cov-report=term-missing:skip-covered --cov-fail-under=95

slow: .venv/.ready ## slow tests
	$(THREADS) $(PYTEST) tests -q -m slow -n 2 --dist loadgroup

doctest: .venv/.ready ## the examples in docstrings
	$(THREADS) $(PYTEST) -q --doctest-modules ebmlearn

pairs: .venv/.ready ## does each notebook hold the text and code of its .md, and the outputs of that code?
	$(BIN)/python book/notebooks.py check

pages: .venv/.ready ## look at every page of the built book in a browser, where one is installed
	$(PYTEST) tests/book/test_pages.py tests/book/test_pdf.py -q -rs -n 2 --dist load

nbval: .venv/.ready ## run every chapter and compare with the stored outputs
	$(THREADS) $(PYTEST) -q --nbval book/ $(PAIR)

short: .venv/.ready ## two chapters under another seed and another arithmetic
	$(BIN)/python book/shake.py --short

shake: .venv/.ready ## every check under five other seeds and three arithmetics: writes book/shake.json; about two hours
	$(BIN)/python book/shake.py --out book/shake.json

# By way of the sdist, so that both are tested and nothing stale in build/ gets in. The environment sees the packages of
# .venv through a .pth file, but not the source tree: a .pth file named in a .pth file is not read.
wheel: .venv/.ready ## what may be missing from a wheel, and the command line, with one built and installed
	rm -rf _build/wheel
	$(BIN)/python -m build --outdir _build/wheel . > /dev/null
	$(BIN)/python -m venv --without-pip _build/wheel/env
	$(BIN)/python -c 'import pathlib, sysconfig; \
		lib = pathlib.Path(sysconfig.get_path("purelib")); \
		pathlib.Path("_build/wheel/env", lib.relative_to(pathlib.Path(".venv").absolute()), "base.pth").write_text(str(lib))'
	$(BIN)/python -m pip --python _build/wheel/env/bin/python install -q --no-deps --no-index --force-reinstall _build/wheel/*.whl
	cd _build/wheel && $(THREADS) EBMLEARN_EXPECTED_IN="$(CURDIR)/_build/wheel/env" \
		env/bin/python -P -m pytest -q -c ../../pyproject.toml -m "not slow" ../../tests/test_package.py ../../tests/commands

bakeoff: .venv/.ready ## every method on the same targets: adds to book/bakeoff.json what it lacks; all of it takes one to two hours
	$(THREADS) $(BIN)/python book/bakeoff.py

notebooks: .venv/.ready ## run the chapters that changed and store their outputs
	$(BIN)/python book/notebooks.py run

format: .venv/.ready ## format package, tests and the code cells of the chapters
	$(BIN)/ruff format --exclude '*.ipynb' .
	$(BIN)/python book/notebooks.py format

student: .venv/.ready ## copies of the chapters in work/, which git ignores: no solutions, empty cells in their place
	$(BIN)/python book/notebooks.py student

solutions: .venv/.ready ## the same with the solutions, in work/solutions/
	$(BIN)/python book/notebooks.py solutions

# Rooted at the repository, so that the package can be edited there, and each kernel starts with autoreload. PORT=8899
# takes another port, FLAGS="--no-browser" any flag of `jupyter lab`. Jupyter refuses root unless it is told: in a
# container there is nobody else.
lab: .venv/.ready ## open JupyterLab at the copies in work/, made first if there are none; takes PORT= and FLAGS=
	@ls work/*.ipynb > /dev/null 2>&1 || $(BIN)/python book/notebooks.py student
	PYTHONSTARTUP="$(CURDIR)/book/_lab/startup.py" $(THREADS) \
		JUPYTER_CONFIG_PATH="$(CURDIR)/book/_lab$${JUPYTER_CONFIG_PATH:+:$$JUPYTER_CONFIG_PATH}" $(BIN)/jupyter lab \
		--ServerApp.root_dir="$(CURDIR)" --LabApp.default_url=/lab/tree/work \
		$(if $(PORT),--port=$(PORT)) $(if $(filter 0,$(shell id -u)),--allow-root) $(FLAGS)

figure: .venv/.ready ## draw the figure of README.md anew
	$(BIN)/python book/readme_figure.py

benchmark: .venv/.ready ## run the benchmarks and write book/benchmarks.json; leave the machine alone meanwhile
	$(THREADS) $(BIN)/python tests/benchmarks/run_all.py

truth: .venv/.ready ## how long each package's learners take to a right density, into book/truth.json; resumable, 25 minutes
	$(BIN)/python tests/benchmarks/truth.py

gpu: .venv/.ready ## all that needs a GPU, resumable, into book/gpu.json; MINUTES=9 begins nothing that takes longer
	$(BIN)/python tests/benchmarks/gpu.py --minutes $(or $(MINUTES),28)

# The local version (+cpu, +cu126) is the machine's, not the package index's.
lock: ## write constraints.txt anew, from a fresh environment
	rm -rf _build/lock
	$(PYTHON) -m venv _build/lock
	_build/lock/bin/python -m pip install -q torch==$(TORCH) -e '.[data,plot,devices,book,dev]'
	( echo "# Every package that \`make book\` and \`make test\` install. Written by \`make lock\`; do not edit."; \
	  _build/lock/bin/python -m pip freeze --exclude-editable | sed -E 's/^(torch==[^+]*)\+.*/\1/' ) > constraints.txt
	_build/lock/bin/python -m pip check

clean: ## remove what can be built again (not .venv and data/cache)
	rm -rf _build build .mypy_cache .ruff_cache .pytest_cache .coverage
