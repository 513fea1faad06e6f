# Needs Python 3.11 or later with pip, git and make; everything else is put into .venv and .peers.
# Another interpreter: make PYTHON=/path/to/python3.11 test

PYTHON ?= python3
VENV = .venv
BIN = $(VENV)/bin
READY = $(VENV)/ready
PIP = -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
WORKERS = auto
PYTEST_FLAGS =

.PHONY: help demo test lint peers bench dist sbom constraints clean distclean

help:
	@echo "make demo         build real packages, publish them to a local channel, install one from it"
	@echo "make test         every check and every test, real servers included where they can be had"
	@echo "make lint         only the checks: ruff, mypy, import-linter, deptry"
	@echo "make bench        time keelback beside py-rattler-build (minutes)"
	@echo "make dist         the source archive and the wheel, in dist/: the same bytes whoever builds them"
	@echo "make sbom         what an installed keelback consists of, as a CycloneDX file in dist/"
	@echo "make constraints  pin the newest dependencies in constraints.txt"
	@echo "make clean        remove what the above wrote; make distclean: the environments as well"

demo: $(READY)
	@$(BIN)/python scripts/demo.py

test: lint peers
	$(BIN)/python -m pytest --numprocesses=$(WORKERS) $(PYTEST_FLAGS)

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .

peers: $(READY)
	@$(BIN)/python scripts/peers.py

bench: $(READY)
	$(BIN)/python benchmarks/run.py

# A new environment when what it is made from has changed. pip comes first: only 25.3 and later knows both
# dependency groups and build constraints.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "keelback needs Python 3.11 or later, and this is %s: make PYTHON=/path/to/python3.11" % sys.version.split()[0])'
	@echo "making the environment $(VENV) (a minute, once)"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python $(PIP) pip
	$(BIN)/python $(PIP) --build-constraint constraints.txt --editable '.[provenance]' --group dev
	@touch $(READY)

# With SOURCE_DATE_EPOCH in the environment that is the time of every file in them, otherwise a fixed one.
dist: $(READY)
	rm -rf dist
	$(BIN)/python -m build --no-isolation

# The wheel in an environment of its own, without pip and without the path that it came from; the tool in another.
sbom: dist
	rm -rf build/sbom
	$(PYTHON) -m venv --without-pip build/sbom/keelback
	$(BIN)/python -m pip --python build/sbom/keelback install --quiet --no-deps --no-index --find-links dist keelback
	$(BIN)/python -m pip --python build/sbom/keelback install --quiet --constraint constraints.txt "keelback[provenance]"
	$(PYTHON) -m venv build/sbom/tool
	build/sbom/tool/bin/python -m pip install --quiet --requirement tests/peers/cyclonedx-requirements.txt
	build/sbom/tool/bin/cyclonedx-py environment --output-reproducible --output-file dist/keelback.cdx.json build/sbom/keelback

# keyring and colorama are for macOS and Windows: with them, what each of these needs is pinned on every system.
constraints:
	rm -rf build/constraints
	$(PYTHON) -m venv build/constraints
	build/constraints/bin/python -m pip install --quiet --upgrade pip
	build/constraints/bin/python -m pip install --quiet --editable '.[provenance]' --group dev hatchling keyring colorama
	{ sed -n '/^#/p' constraints.txt; \
	  build/constraints/bin/python -m pip freeze --all --exclude-editable | sed '/^setuptools==/d'; } > build/constraints.txt
	mv build/constraints.txt constraints.txt

clean:
	rm -rf build dist .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache
	find src tests scripts benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean
	rm -rf $(VENV) .peers
