"""Common parts of all tests: the seed, Hypothesis's settings, the published data."""

import os
import shutil
import signal
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent
SEED = int(os.environ.get("FXSIM_SEED", "20250218"))

# How long a command takes here must not decide what it prints.
os.environ["FXSIM_PROGRESS"] = "0"
# Tests run side by side; what one starts is not to share the cores once more, and is where it can be replaced.
os.environ["FXSIM_JOBS"] = "1"
# Nearly all designs here are small, and simulated for a few thousand cycles: building them takes longer.
os.environ.setdefault("FXSIM_OPTIMISE", "-O0")

# No deadline, no complaint about slow generation: both would make a verdict depend on how busy the machine is.
settings.register_profile("fxsim", deadline=None, print_blob=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("fxsim")


def obey_ctrl_c() -> None:
    """For a process that a test starts to interrupt: a shell that runs the tests in the background ignores Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def own_cache(folder: Path) -> Path:
    """A cache of a test's own in a folder, with Verilator's library alone, if other tests have compiled it."""
    from fxsim.paths import cache_dir

    library = cache_dir() / "verilator" / "runtime"
    if library.is_dir():
        with FileLock(library.parent / "lock"):
            shutil.copytree(library, folder / "cache" / "verilator" / "runtime")
    return folder / "cache"


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Give Hypothesis the same seed as everything else, unless --hypothesis-seed names another.

    What ends a process ends those that tests start: `nohup` has children ignore SIGHUP.
    """
    for ends in (signal.SIGHUP, signal.SIGTERM):
        if signal.getsignal(ends) is signal.SIG_IGN:
            signal.signal(ends, signal.SIG_DFL)
    if config.getoption("hypothesis_seed") is None:
        config.option.hypothesis_seed = str(SEED)


def pytest_report_header(config: pytest.Config) -> str:
    """The line that says how to repeat this run."""
    return f"seed: FXSIM_SEED={SEED}, --hypothesis-seed={config.getoption('hypothesis_seed')}"


@pytest.fixture(scope="session")
def published() -> Path:
    """The folder of the published reference data; the test is skipped where it is absent."""
    override = os.environ.get("FXSIM_PUBLISHED")
    folder = Path(override) if override else ROOT.parent / "shared" / "published"
    if not folder.is_dir():
        if override:
            pytest.fail(f"FXSIM_PUBLISHED names {folder}, which is not a folder")
        pytest.skip("published reference data not found: ../shared/published is absent and FXSIM_PUBLISHED is not set")
    return folder


@pytest.fixture(scope="session")
def networks() -> Path:
    """The folder of other tools' networks; the test is skipped where it is absent."""
    override = os.environ.get("FXSIM_NETWORKS")
    folder = Path(override) if override else ROOT.parent / "shared" / "networks"
    if not folder.is_dir():
        if override:
            pytest.fail(f"FXSIM_NETWORKS names {folder}, which is not a folder")
        pytest.skip("other tools' networks not found: ../shared/networks is absent and FXSIM_NETWORKS is not set")
    return folder


@pytest.fixture(scope="session")
def cases() -> Path:
    """The folder of small inputs that were once answered wrongly; the test is skipped where it is absent."""
    override = os.environ.get("FXSIM_CASES")
    folder = Path(override) if override else ROOT.parent / "shared" / "cases"
    if not folder.is_dir():
        if override:
            pytest.fail(f"FXSIM_CASES names {folder}, which is not a folder")
        pytest.skip("known bad inputs not found: ../shared/cases is absent and FXSIM_CASES is not set")
    return folder
