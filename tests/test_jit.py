"""Numba's settings, and the cache of machine code: what is taken from it was compiled of the same text and settings."""

import ast
import importlib.util
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import fxsim
from fxsim import jit
from fxsim.engines.compiled import kernel
from fxsim.errors import ToolError
from fxsim.paths import golden_dir

MAIN = """
import sys
import numpy as np
from fxsim.jit import compile_function, types
from helper import helped

def compute(x, y):
    y[0] = helped(x)

signature = types.void(types.int64, types.Array(types.int64, 1, "C"))
compiled = compile_function(compute, signature)
y = np.zeros(1, np.int64)
compiled(int(sys.argv[1]), y)
print(y[0], sum(compiled.stats.cache_hits.values()))
"""
HELPER = """
import numpy as np
from fxsim.jit import njit

@njit
def helped(x):
    return 10 + np.arange(3)[x]
"""


def call(*command: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a process of its own."""
    return subprocess.run(
        [sys.executable, *command], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of two modules, one of which compiles a function of the other."""
    for name, text in (("main.py", MAIN), ("helper.py", HELPER)):
        path = tmp_path / "folder" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path / "folder"


def test_a_changed_helper_is_compiled_again(folder: Path, tmp_path: Path) -> None:
    """Another text of a module of the folder, of the same size and time, is never served by the code of the first."""
    cache = {"FXSIM_CACHE": str(tmp_path / "cache")}
    helper = folder / "helper.py"
    before = helper.stat()
    assert call(folder / "main.py", "2", **cache).stdout == "12 0\n"
    assert call(folder / "main.py", "2", **cache).stdout == "12 1\n"
    helper.write_text(HELPER.replace("10 +", "20 +"))
    os.utime(helper, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = helper.stat()
    assert (after.st_mtime_ns, after.st_size) == (before.st_mtime_ns, before.st_size)
    assert (
        call(folder / "main.py", "2", **cache, PYTHONDONTWRITEBYTECODE="1", PYTHONPYCACHEPREFIX=str(tmp_path)).stdout
        == "22 0\n"
    )


def test_code_compiled_with_other_settings_is_not_taken(folder: Path, tmp_path: Path) -> None:
    """A function that was cached without checks of bounds checks them where NUMBA_BOUNDSCHECK asks for it."""
    cache = {"FXSIM_CACHE": str(tmp_path / "cache")}
    assert call(folder / "main.py", "7", **cache).returncode == 0
    checked = call(folder / "main.py", "7", **cache, NUMBA_BOUNDSCHECK="1")
    assert checked.returncode == 1
    assert checked.stderr.splitlines()[-1].startswith("IndexError: index is out of bounds")
    assert call(folder / "main.py", "7", **cache).stdout.endswith(" 1\n")


def test_numbas_own_choice_of_a_cache_is_not_taken(folder: Path, tmp_path: Path) -> None:
    """Settings of Numba that send caches to the source's folder, whose index knows one file alone, do nothing here."""
    told = {"NUMBA_CACHE_LOCATOR_CLASSES": "InTreeCacheLocator", "FXSIM_CACHE": str(tmp_path / "cache")}
    assert call(folder / "main.py", "2", **told).stdout == "12 0\n"
    assert not list(folder.rglob("*.nb?"))
    assert len(list((tmp_path / "cache").rglob("*.nbc"))) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("BOUNDSCHECK", 1),
        ("CPU_FEATURES", "+avx2"),
        ("CPU_NAME", "x86-64"),
        ("DEBUGINFO_DEFAULT", 1),
        ("DISABLE_INTEL_SVML", 1),
        ("ENABLE_AVX", 0),
        ("EXTEND_VARIABLE_LIFETIMES", 1),
        ("LLVM_REFPRUNE_FLAGS", ""),
        ("LOOP_VECTORIZE", 0),
        ("OPT", 0),
        ("SLP_VECTORIZE", 1),
        ("A_SETTING_OF_A_LATER_NUMBA", 1),
    ],
)
def test_settings_are_part_of_the_key(name: str, value: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every setting of Numba that may change code changes the cache's key, one that nobody knows yet included."""
    before = jit._cache_key(kernel.compute, "int8")
    assert jit._cache_key(kernel.compute, "int8") == before
    monkeypatch.setattr(jit.config, name, value, raising=False)
    assert jit._cache_key(kernel.compute, "int8") != before


def test_settings_without_effect_are_numbas(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings that are left out of the key exist, and do not change it: threads and places."""
    before = jit._cache_key(kernel.compute, "int8")
    for name in jit._WITHOUT_EFFECT:
        assert hasattr(jit.config, name)
        monkeypatch.setattr(jit.config, name, 77)
    assert jit._cache_key(kernel.compute, "int8") == before


def module_of(tmp_path: Path, name: str, text: str) -> ModuleType:
    """A module of a text, in a folder of its own."""
    path = tmp_path / name / f"{name}.py"
    path.parent.mkdir()
    path.write_text(text)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def test_what_is_called_lies_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A function of another folder, called directly, from a tuple or through a module, is no code for the cache."""
    for name in ("elsewhere", "inside"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    elsewhere = module_of(tmp_path, "elsewhere", "from fxsim.jit import njit\n@njit\ndef far(x):\n    return x\n")
    text = "def direct(x):\n    far_away(x)\ndef listed(x):\n    both[0](x)\ndef through(x):\n    elsewhere.far(x)\n"
    text += "def near(x):\n    return abs(x)\ndef nearby(x):\n    return near(x)\n"
    text += "def around(f):\n    def inner(x):\n        return f(x)\n    return inner\n"
    inside = module_of(tmp_path, "inside", text)
    inside.__dict__.update(far_away=elsewhere.far, both=(elsewhere.far,), elsewhere=elsewhere)
    for function in (inside.direct, inside.listed, inside.around(elsewhere.far)):
        with pytest.raises(AssertionError, match=r" of .*elsewhere\.py is compiled, but not in "):
            jit._cache_key(function, "")
    with pytest.raises(AssertionError, match="elsewhere: import its functions by name"):
        jit._cache_key(inside.through, "")
    assert jit._cache_key(inside.nearby, "") != jit._cache_key(inside.near, "")


def test_imported_numbers_are_part_of_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers, tuples and arrays that a function takes from its module change the key, wherever they were imported."""
    monkeypatch.setitem(sys.modules, "counting", ModuleType("counting"))
    module = module_of(
        tmp_path, "counting", "N = 1\ndef inner(x):\n    return x + N\ndef outer(x):\n    return inner(x)\n"
    )
    values = (1, 2, (1, 2), (2, 1), {"a": 1}, np.arange(3), np.arange(4), np.arange(3, dtype=np.int8))
    keys = set()
    for value in values:
        module.__dict__["N"] = value
        keys.add(jit._cache_key(module.outer, ""))
    assert len(keys) == len(values)


# --- Settings with which nothing can be compiled ---------------------------------------------------------------------

MODEL, IMAGES = str(golden_dir() / "small.safetensors"), str(golden_dir() / "images_16x12.npy")
COMMANDS: dict[str, Callable[[Path], tuple[str, ...]]] = {
    "run": lambda folder: ("run", MODEL, IMAGES, "-o", str(folder / "out.npz")),
    "vectors": lambda folder: ("vectors", MODEL, IMAGES, "-o", str(folder / "vectors")),
    "bench": lambda _: ("bench", "engine", MODEL, "--quick"),
    "info": lambda _: ("info", "--engine"),
}


@pytest.mark.parametrize(
    ("command", "value"), [*((command, "0") for command in COMMANDS), ("info", "-1"), ("info", "many")]
)
def test_threads_that_numba_cannot_have_are_named(command: str, value: str, tmp_path: Path) -> None:
    """A number of threads with which Numba does not start gets one line that names the variable."""
    done = call("-m", "fxsim", *COMMANDS[command](tmp_path), NUMBA_NUM_THREADS=value)
    assert done.returncode == 1
    assert done.stderr == (
        f"fxsim: error: the environment variable NUMBA_NUM_THREADS is {value!r}, "
        "expected a number of threads from 1 on\n"
    )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value"), [("NUMBA_OPT", "7"), ("NUMBA_BOUNDSCHECK", "yes"), ("NUMBA_DISABLE_JIT", "")]
)
def test_settings_that_numba_cannot_read_are_named(name: str, value: str) -> None:
    """A value that Numba would leave aside with a traceback and a warning is refused in one line."""
    done = call("-m", "fxsim", "info", "--engine", **{name: value})
    assert done.returncode == 1
    assert done.stderr == (
        f"fxsim: error: the environment variable {name} is {value!r}, which Numba cannot read: correct or unset it\n"
    )


@pytest.mark.parametrize("command", ["run", "vectors", "bench"])
def test_without_a_compiler_the_way_out_is_named(command: str, tmp_path: Path) -> None:
    """Where Numba is told to compile nothing, one line says which variable does so, and what computes without."""
    done = call("-m", "fxsim", *COMMANDS[command](tmp_path), NUMBA_DISABLE_JIT="1")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "fxsim: error: the environment variable NUMBA_DISABLE_JIT is set, so that nothing can be compiled: unset it, "
        "or choose the reference engine"
    )
    assert "Traceback" not in done.stderr


def test_the_reference_engine_needs_no_compiler(tmp_path: Path) -> None:
    """The reference engine computes where Numba compiles nothing, and where it cannot start."""
    for name, value in (("NUMBA_DISABLE_JIT", "1"), ("NUMBA_NUM_THREADS", "0")):
        done = call("-m", "fxsim", *COMMANDS["run"](tmp_path), "--engine", "reference", **{name: value})
        assert done.returncode == 0, done.stderr


def test_settings_are_read_when_something_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that comes into the environment later counts, as it does for Numba itself."""
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    with pytest.raises(ToolError, match="NUMBA_DISABLE_JIT"):
        jit.compile_function(kernel.compute, jit.types.void())
    monkeypatch.delenv("NUMBA_DISABLE_JIT")
    jit.config.reload_config()
    assert jit.config.DISABLE_JIT == 0


@pytest.mark.slow
def test_numba_has_one_door() -> None:
    """No module of the package but `fxsim.jit` imports Numba: its settings are checked before it starts."""
    root = Path(fxsim.__file__).parent
    doors = set()
    for path in root.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            if any(name.partition(".")[0] == "numba" for name in names):
                doors.add(path.relative_to(root).as_posix())
    assert doors == {"jit.py"}
