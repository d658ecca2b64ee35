# Short names for what CONTRIBUTING.md describes. `make test TESTS=tests/test_prompt.py` runs one file.
PYTHON ?= python3
TESTS ?=
TOOLS = .venv/bin/python -m

.PHONY: help check test browser format

help:
	@echo "make check    everything that must pass: ruff, mypy, all tests, the browser tests (.ci/run)"
	@echo "make test     the quick suite, or what TESTS names"
	@echo "make browser  the chat page in Chromium"
	@echo "make format   ruff's fixes and format"

check:
	.ci/run

test:
	$(PYTHON) launch.py test $(TESTS)

browser:
	$(PYTHON) launch.py test tests/browser -m browser

format: .venv/bin/ruff
	$(TOOLS) ruff check --fix .
	$(TOOLS) ruff format .

.venv/bin/ruff:
	$(PYTHON) launch.py test --version
