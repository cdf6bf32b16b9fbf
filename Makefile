# Everything runs inside .venv, which `setup` prepares and keeps in step with requirements.lock.
.PHONY: help setup signoff flow golden test thorough quick lint bench lock docs clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## /\1\t/p' Makefile

# Every one of the many processes that tests start would compile our modules and test files anew.
export PYTHONDONTWRITEBYTECODE :=

setup: ## .venv with the locked dependencies, and the HDL tools
	@scripts/setup.sh

STAGE = V1
signoff: setup ## the sign-off: models, engines and RTL against each other, into reports/ (all of it: STAGE=V3)
	.venv/bin/fxsim signoff --stage $(STAGE) -o reports/

flow: setup ## train, distil, quantise and export the small recipe, and sign it off against the RTL; into runs/
	.venv/bin/fxsim flow recipes/digits_small.toml --signoff

TRAINED = digits_small psa_h96 b_spline_h96 relu_h96 relu_h192 teacher_h384 digits_binary digits_fractional digits_ode digits_softmax
golden: setup ## train the golden models anew (their flows, into runs/) and write golden/
	for name in $(TRAINED); do .venv/bin/fxsim flow recipes/$$name.toml || exit 1; done
	.venv/bin/python -m fxsim.golden --runs runs

# Those that must run alone come first, so that the summary of nearly all closes the log. Then the testbenches, of which
# many take long: what is left for the end is short, so that the workers end together.
test: setup ## the tests: tests/ and testbenches/, side by side; the slowest are shown
	.venv/bin/pytest -m "alone and not thorough" $(ALONE); alone=$$?; .venv/bin/pytest -m "not (alone or thorough)" $(SIDE_BY_SIDE) --durations 25 testbenches tests && exit $$alone

thorough: setup ## before a release: the tests of further sizes, and every stage of the sign-off
	.venv/bin/pytest -m "alone and thorough" $(ALONE); alone=$$?; .venv/bin/pytest -m "thorough and not alone" $(SIDE_BY_SIDE) testbenches tests && exit $$alone
	.venv/bin/fxsim signoff -o reports/

quick: setup ## the tests that need no tool, while writing: about a minute
	.venv/bin/pytest -m "not ($(TOOLS) or slow or alone or thorough)" $(SIDE_BY_SIDE) -q $(LIGHT)

# One more than there are cores: what waits for a disk or another process leaves a core idle.
SIDE_BY_SIDE = -n $$(($$(nproc) + 1)) --dist worksteal
# Files with tests that run alone: reading all others, while the other cores wait, would take longer than most of them.
ALONE = $$(grep -lE 'mark\.alone\b' tests/test_*.py)
# Files of tests that do not import PyTorch: each worker would take seconds for that.
LIGHT = $$(grep -LE '^(import torch|from torch|from fxsim\.(networks|training|bridge))' tests/test_*.py)
TOOLS = verilator or icarus or ghdl or chromium or yosys or torch or onnx or numba or process

# Its parts side by side; what each says comes in one piece.
lint: setup ## ruff, clang-format, mypy, Verilator's lint of the accelerators, the compiler's of their harnesses
	@$(MAKE) --no-print-directory --jobs 2 --output-sync=target --keep-going lint-types lint-harness lint-rtl lint-style

.PHONY: lint-types lint-harness lint-rtl lint-style
# Its processes must find each other within some seconds: on a machine too busy for that (status 2) it is one alone.
lint-types:
	.venv/bin/mypy --num-workers 2 || { [ $$? -ne 1 ] && .venv/bin/mypy; }
lint-harness:
	.venv/bin/python scripts/lint_harness.py
lint-rtl:
	.venv/bin/python scripts/lint_rtl.py
lint-style:
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	find fxsim \( -name '*.[ch]pp' -o -name '*.h' \) -exec .venv/bin/clang-format --dry-run --Werror {} +

bench: setup ## the kept measurements
	.venv/bin/fxsim bench engine
	.venv/bin/python -m benchmarks

lock: setup ## requirements.lock from the ranges of pyproject.toml, keeping what still fits
	scripts/lock.sh

docs: setup ## the documentation as a site, into site/
	NO_MKDOCS_2_WARNING=1 .venv/bin/mkdocs build --strict --quiet

clean: ## remove .venv and what tools left behind
	rm -rf "$$(readlink -m .venv)" .venv site .pytest_cache .mypy_cache .ruff_cache .hypothesis
