# Everything runs inside .venv, which `setup` prepares and keeps in step with pyproject.toml.
.PHONY: help setup signoff test lint bench clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile

setup: ## .venv with the pinned dependencies, and the HDL tools
	@scripts/setup.sh

signoff: setup ## the sign-off: models, engines and RTL against each other, into reports/
	.venv/bin/fxsim signoff -o reports/

test: setup ## every test: tests/ and testbenches/
	.venv/bin/pytest

lint: setup ## ruff, and mypy --strict on the package
	.venv/bin/ruff check .
	.venv/bin/mypy

bench: setup ## the kept measurements
	.venv/bin/python -m benchmarks

clean: ## remove .venv and what tools left behind
	rm -rf "$$(readlink -m .venv)" .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
