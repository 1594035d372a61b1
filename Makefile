# Two commands do all the set-up: `make demo` and `make test`. The rest is for those who work on qcfuse.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
RUN := OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

.PHONY: demo test check format bench bench-vision bench-store bench-store-large bench-quality bench-api bench-paint results results-vision results-fusion results-causes results-drift services pictures clean lock

demo: $(VENV)/.ready         ## simulate a plant, train on it, stream parts through the whole road, serve the screen
	@$(BIN)/qcfuse demo

test: $(VENV)/.ready-dev     ## every test; real Kafka, PostgreSQL and Chromium where they are installed
	@deploy/services/check
	@$(RUN) $(BIN)/python -m pytest --numprocesses auto

check: $(VENV)/.ready-dev    ## format, lint, types, tidiness
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/python -m pytest tests/test_tidy.py

format: $(VENV)/.ready-dev
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: $(VENV)/.ready        ## parts per second, latency, CPU per stage, ratio to the floor; rewrites the README's table
	@$(RUN) $(BIN)/python tests/bench/write_bench.py

results: $(VENV)/.ready-dev  ## train, replay and evaluate on the shared real data; rewrites the README's table
	@$(RUN) $(BIN)/python tests/bench/results.py

results-vision: $(VENV)/.ready-dev  ## train eyes on real tiles and simulated cameras, judge the rest; rewrites its tables in deploy/measured.md
	@$(RUN) $(BIN)/python tests/bench/results_vision.py

results-fusion: $(VENV)/.ready-dev  ## risks, calibration, certificates, cold start, history: every table of the judge, into deploy/measured.md
	@$(RUN) $(BIN)/python tests/bench/results_fusion.py

results-causes: $(VENV)/.ready-dev  ## causes of parts, incidents and drift on fresh simulated lines, into deploy/measured.md
	@$(RUN) $(BIN)/python tests/bench/results_causes.py

results-drift: $(VENV)/.ready-dev  ## drift: what the two-sample tests see of changes that no single signal shows; limits of short histories, and how they grow in service; into deploy/measured.md
	@$(RUN) $(BIN)/python tests/bench/results_drift_power.py
	@$(RUN) $(BIN)/python tests/bench/results_drift_short.py
	@$(RUN) $(BIN)/python tests/bench/results_drift_growth.py

bench-vision: $(VENV)/.ready-dev  ## CPU of a look step by step, two processes, Anomalib where installed; rewrites its table in deploy/measured.md
	@$(RUN) $(BIN)/python tests/bench/bench_vision.py

bench-store: $(VENV)/.ready-dev  ## the store's answers with 200 000 parts in it; rewrites its table in deploy/measured.md
	@$(RUN) $(BIN)/python tests/bench/bench_store.py

bench-store-large: $(VENV)/.ready-dev  ## the same with ten million verdicts in PostgreSQL and two in SQLite, cold and warm: half an hour, 30 GB; rewrites its table in deploy/measured.md
	@$(RUN) $(BIN)/python tests/bench/bench_store_large.py

bench-quality: $(VENV)/.ready-dev  ## the figures on people's judgement over 100 000 decisions, SQLite and PostgreSQL; rewrites its table in deploy/measured.md
	@$(RUN) $(BIN)/python tests/bench/bench_quality.py

bench-paint: $(VENV)/.ready-dev  ## the browser's first paint of every page with 100 000 parts that wait; rewrites its table in deploy/measured.md
	@$(RUN) $(BIN)/python tests/bench/bench_paint.py

bench-api: $(VENV)/.ready-dev  ## the API with 200 open streams and 300 requests a second beside the stream; prints
	@$(RUN) $(BIN)/python tests/bench/bench_api.py

pictures: $(VENV)/.ready-dev ## pictures of every screen and state for the documents, of the plant that `make demo` left
	@$(RUN) $(BIN)/python tests/browser/pictures.py

services:                    ## install what the tests need beside Python: Java and Maven, PostgreSQL, Chromium (Debian, root)
	@deploy/services/install

lock: $(VENV)/.ready-dev     ## write the exact versions anew (needs uv)
	@uv pip compile pyproject.toml --python-version 3.11 --no-header --no-annotate --no-emit-index-url -q -o requirements.lock
	@uv pip compile pyproject.toml --extra test --extra check --python-version 3.11 --no-header --no-annotate --no-emit-index-url -q -o requirements-dev.lock

$(VENV)/.ready: requirements.lock pyproject.toml
	@test -n "$(PYTHON)" || { echo "qcfuse needs Python 3.11 or newer (python3 was not found)"; exit 2; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "qcfuse needs Python 3.11 or newer"; exit 2; }
	@echo "installing qcfuse into $(VENV) (once, about a minute)"
	@"$(PYTHON)" -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
	@touch $@

$(VENV)/.ready-dev: $(VENV)/.ready requirements-dev.lock
	@echo "installing what tests and checks need"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.lock
	@touch $@

clean:
	@rm -rf $(VENV) .qcfuse build *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .kafka
