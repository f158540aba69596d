# Two commands: `make run` and `make test`. Each makes .venv first where it is missing or stale.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Without .pyc files every kernel start would compile Jupyter again.
unexport PYTHONDONTWRITEBYTECODE
unexport MPLBACKEND
export OMP_WAIT_POLICY ?= PASSIVE

.PHONY: run test figures notebooks site constraints install clean

run: $(STAMP)
	$(BIN)/bana run --profile sample

test: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache --no-logo
	$(BIN)/python -m pytest tests -n 2 --dist loadfile
	$(BIN)/python tools/smoke.py
	$(BIN)/python -m pytest build/smoke --nbval-lax --nbval-kernel-startup-timeout 300

# Every figure and table of the sample's run; what is up to date is left alone. The first time the
# table of grids trains four classifiers more.
figures: $(STAMP)
	$(BIN)/bana figure --all --profile sample
	$(BIN)/bana table --all --profile sample > /dev/null

# Runs what is stale, then writes outputs into the notebooks, and figures into figures/.
notebooks: run figures
	$(BIN)/bana publish

# The course and its documents as pages, in build/site; nothing is executed.
site: $(STAMP)
	$(BIN)/python tools/website.py

# Records the versions installed in .venv as the tested ones.
constraints: $(STAMP)
	$(BIN)/python tools/constraints.py

install: $(STAMP)

# uv unpacks beside downloading, which takes a sixth of pip's time; pip knows mirrors uv does not.
$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	($(BIN)/python -m pip install --quiet uv && \
		$(BIN)/uv pip install --python $(BIN)/python -c constraints.txt -e ".[test]") || \
		$(BIN)/python -m pip install -c constraints.txt -e ".[test]"
	touch $@

clean:
	rm -rf runs build .pytest_cache .ruff_cache .hypothesis
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +
