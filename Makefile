# Everything runs inside .venv, which `setup` prepares and keeps in step with pyproject.toml.
.PHONY: help setup signoff flow golden test lint bench clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile

setup: ## .venv with the pinned dependencies, and the HDL tools
	@scripts/setup.sh

signoff: setup ## the sign-off: models, engines and RTL against each other, into reports/
	.venv/bin/fxsim signoff -o reports/

flow: setup ## train, distil, quantise and export the small recipe, and sign it off against the RTL; into runs/
	.venv/bin/fxsim flow recipes/digits_small.toml --signoff

TRAINED = digits_small psa_h96 b_spline_h96 relu_h96 relu_h192 teacher_h384
golden: setup ## train the golden models anew (their flows, into runs/) and write golden/
	for name in $(TRAINED); do .venv/bin/fxsim flow recipes/$$name.toml || exit 1; done
	.venv/bin/python -m fxsim.golden --runs runs

test: setup ## every test: tests/ and testbenches/
	.venv/bin/pytest

lint: setup ## ruff, and mypy --strict on the package
	.venv/bin/ruff check .
	.venv/bin/mypy

bench: setup ## the kept measurements
	.venv/bin/fxsim bench engine
	.venv/bin/python -m benchmarks

clean: ## remove .venv and what tools left behind
	rm -rf "$$(readlink -m .venv)" .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
