# Baton. `make run` serves a demo shop; `make test` sets up and passes the tests.

PORT ?= 8000
PYTHON ?= $(shell command -v python3.11 || command -v python3)
INDEX ?=
TORCH_INDEX ?=
export INDEX TORCH_INDEX

BIN = .venv/bin

.PHONY: install run test check bench

install:
	@$(PYTHON) deploy/install.py

run: install
	@$(BIN)/python manage.py trial --port $(PORT)

check:
	@$(PYTHON) deploy/install.py --dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# First with PostgreSQL and Redis, then with SQLite and everything in one process, in the browser too.
test:
	@$(PYTHON) deploy/install.py --dev
	@sh deploy/test_machine.sh
	BATON_TEST_STACK=production $(BIN)/python -m pytest -q --ignore tests/pages
	BATON_TEST_STACK=trial $(BIN)/python -m pytest -q

bench: install
	@for each in $$(grep -l __main__ benchmarks/*.py); do echo "== $$each"; $(BIN)/python $$each || exit 1; done
