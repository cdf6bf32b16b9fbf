"""A plugin of pytest that keeps what testbenches would simulate, and simulates nothing: every test is then skipped.

`-p fxsim.mutation.recorder`, with FXSIM_MUTATION_CASES in the environment: a folder, in which each case gets one.
"""

import importlib
import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

VARIABLE = "FXSIM_MUTATION_CASES"
RECIPE = "recipe.json"
FILES = "files"


def pytest_configure() -> None:
    """Put the recorder in the place of the function that simulates, before any testbench takes it."""
    simulation = importlib.import_module("testbenches.common.simulation")
    target = Path(os.environ[VARIABLE])

    def record(
        testbench: str,
        module: str,
        folder: Path,
        parameters: Mapping[str, int | str] | None = None,
        case: Mapping[str, Any] | None = None,
        sources: Path = simulation.RTL,
    ) -> None:
        import numpy as np
        import pytest

        kept = target / f"{len(list(target.iterdir())):04}"
        shutil.copytree(folder, kept / FILES)
        if case is not None:
            np.savez(kept / FILES / simulation.CASE_FILE, **case)
        recipe = {
            "testbench": testbench,
            "module": module,
            "parameters": dict(parameters or {}),
            "own": sources == simulation.RTL,
            "test": os.environ.get("PYTEST_CURRENT_TEST", "").rpartition(" ")[0],
        }
        (kept / RECIPE).write_text(json.dumps(recipe), encoding="utf-8")
        pytest.skip("its case was kept, and nothing was simulated")

    simulation.simulate = record  # type: ignore[attr-defined]
