"""The project's shell: pins, environment, set-up, start-up, what is (not) in the repository."""

import ast
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
BIN = Path(sys.executable).parent
GOLDEN = ROOT / "golden" / "digits_small.safetensors"
COMMANDS = (
    "import", "export-headers", "export-onnx", "export-c", "images", "info", "run", "memory-image", "cosim", "dut",
    "lint-rtl", "waive", "vectors",
    "compare", "diff", "prove", "coverage", "trace",
    "mutate", "signoff", "flow", "train", "distill", "quantize", "export", "eval", "bridge", "tables",
    "fit",
    "bench",
)  # fmt: skip
HEAVY = {"torch", "sklearn", "scipy", "matplotlib", "numba", "llvmlite", "onnx", "onnxruntime", "pyperf"}
"""Libraries that take long to import: only whoever computes or draws with them pays."""

ROOMS: dict[str, set[str]] = {"contract": set()}
"""Which rooms each room may import from."""
for room, above in {
    "operators": "contract",
    "graph": "operators",
    "families": "graph",
    "formats": "families",
    "engines": "formats",
    "simulate": "engines",
    "devices": "simulate",
    "cosim": "devices",
    "vectors": "cosim",
    "tables": "engines",
    "data": "tables",
    "networks": "data",
    "training": "networks",
    "bridge": "training",
}.items():
    ROOMS[room] = ROOMS[above] | {above}
ROOMS["code_coverage"] = ROOMS["simulate"] | {"simulate"}
ROOMS["compare"] = ROOMS["engines"] | {"engines"}
ROOMS["traces"] = ROOMS["compare"] | {"compare"}
ROOMS["explain"] = ROOMS["traces"] | {"traces"}
ROOMS["cocotb"] = ROOMS["compare"] | {"compare"}
for room in ("cosim", "vectors", "bridge"):
    ROOMS[room] = ROOMS[room] | {"compare"}
for room in ("cosim", "vectors"):
    ROOMS[room] = ROOMS[room] | {"traces"}
ROOMS["golden"] = ROOMS["bridge"] | ROOMS["vectors"] | {"bridge", "vectors"}
ROOMS["benchmark"] = ROOMS["training"] | {"training", "compare"}
ROOMS["prove"] = ROOMS["cosim"] | ROOMS["explain"] | {"cosim", "explain"}
ROOMS["rtl_lint"] = ROOMS["devices"] | {"devices"}
ROOMS["fuzz"] = ROOMS["vectors"] | {"vectors"}
ROOMS["coverage"] = ROOMS["prove"] | ROOMS["vectors"] | {"prove", "vectors"}
ROOMS["mutation"] = ROOMS["prove"] | {"prove", "tables"}
ROOMS["synthesis"] = ROOMS["prove"] | {"prove"}
ROOMS["lanes"] = ROOMS["prove"] | {"prove"}
ROOMS["signoff"] = ROOMS["golden"] | {
    "golden", "benchmark", "explain", "prove", "coverage", "code_coverage", "fuzz", "mutation",
    "lanes", "rtl_lint", "synthesis",
}  # fmt: skip
ROOMS["certificate"] = ROOMS["signoff"] | {"signoff"}
ROOMS["cli"] = ROOMS["certificate"] | {"certificate"}
EVERYBODYS = {"errors", "version", "paths", "jit", "machine", "plugins", "private", "process", "progress", "temporary"}
"""Modules beside the rooms, which import nothing but each other."""


def load_check_venv() -> ModuleType:
    """The module scripts/check_venv.py, which is no part of the package."""
    spec = importlib.util.spec_from_file_location("check_venv", ROOT / "scripts" / "check_venv.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check_venv = load_check_venv()
LOCKED: dict[str, str] = check_venv.parse_pins((ROOT / "requirements.lock").read_text())


def call(*command: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    """Run a command and keep what it printed; never raises for its status."""
    return subprocess.run(command, text=True, capture_output=True, check=False, **options)  # type: ignore[call-overload]


def tracked_files() -> list[Path]:
    """Files that are, or would be, committed."""
    listing = call("git", "-c", "safe.directory=*", "ls-files", "-z", "-co", "--exclude-standard", cwd=ROOT)
    assert listing.returncode == 0, listing.stderr
    return [path for name in listing.stdout.split("\0") if name and (path := ROOT / name).is_file()]


# --- pins ---


def test_every_requirement_is_a_range_that_holds_the_locked_version() -> None:
    """Core, extras, groups and build backend: each from some version to before another, with what is tested inside."""
    lists = (PROJECT["dependencies"], *EXTRAS.values(), *PYPROJECT["dependency-groups"].values())
    requirements = {text for texts in (*lists, PYPROJECT["build-system"]["requires"]) for text in texts}
    requirements -= set(PYPROJECT["dependency-groups"]["lock"])
    assert len(requirements) > 30
    wrong = []
    for requirement in map(Requirement, sorted(requirements)):
        if {specifier.operator for specifier in requirement.specifier} != {">=", "<"}:
            wrong.append(f"{requirement}: not a range")
        locked = LOCKED.get(check_venv.canonical(requirement.name))
        if locked is None or not requirement.specifier.contains(locked):
            wrong.append(f"{requirement}: {locked or 'nothing'} is locked")
    assert wrong == []


@pytest.mark.parametrize("requirement", ["numpy", "numpy>=2", "numpy==2.*", "numpy~=2.4", "numpy==2.4.6,!=2.4.5"])
def test_loose_pins_are_refused(requirement: str) -> None:
    """Anything but name==version is named as not being an exact pin."""
    with pytest.raises(ValueError, match=re.escape(requirement)):
        check_venv.parse_pins(f"click==8.5.1  # a comment\n    # via fxsim\n{requirement}\n")


def needs(name: str, extras: set[str], seen: set[str]) -> None:
    """Add to `seen` all that an installed distribution requires, with some of its extras, and what those require."""
    for requirement in map(Requirement, distribution(name).requires or []):
        needed = check_venv.canonical(requirement.name)
        wanted = requirement.marker is None or any(requirement.marker.evaluate({"extra": e}) for e in extras | {""})
        if wanted and not needed.startswith(check_venv.CUDA):  # torch's builds for GPUs pin these themselves
            locked = LOCKED.get(needed, "")
            assert requirement.specifier.contains(locked, prereleases=True), f"{name} needs {requirement}, not {locked}"
            if needed not in seen:
                seen.add(needed)
                needs(needed, set(requirement.extras), seen)


def test_lock_is_what_the_ranges_need_and_no_more() -> None:
    """Each distribution that fxsim with all its extras requires, to the last one, is locked at a version that fits."""
    needed: set[str] = set()
    needs("fxsim", set(EXTRAS), needed)
    builders = {Requirement(text).name for text in PYPROJECT["dependency-groups"]["build"]}
    assert needed | builders == set(LOCKED)
    assert builders == {"setuptools", "wheel"}


def test_environment_is_the_locked_one() -> None:
    """Installed and locked distributions are the same, at the same versions; fxsim comes from this clone."""
    # In a process of its own: setuptools, which other tests' libraries import, brings copies of some to the path.
    result = call(sys.executable, ROOT / "scripts" / "check_venv.py")
    assert (result.returncode, result.stdout.strip(), result.stderr) == (0, "", "")


@dataclass
class Distribution:
    """As much of an installed distribution as check_venv.py looks at."""

    metadata: dict[str, str]
    version: str


@pytest.mark.parametrize(
    ("name", "version", "expected"),
    [
        ("torch", "+cpu", []),
        ("torch", "+cu130", []),
        ("torch", ".post1+cpu", ["torch {0} is locked, {0}.post1 is installed"]),
        ("numpy", "+cpu", ["numpy {0} is locked, {0}+cpu is installed"]),
        ("nvidia-cublas", "13.1", []),
        ("nvidia_cudnn_cu13", "9", []),
        ("triton", "3.5", []),
        ("torchvision", "0.1", ["torchvision 0.1 is installed but not locked"]),
        ("Some.thing", "1", ["some-thing 1 is installed but not locked"]),
    ],
)
def test_builds_of_torch_are_one(name: str, version: str, expected: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's builds for CPU and CUDA count as one version, what the latter brings is tolerated, and nothing else."""
    versions = LOCKED | {name: LOCKED.get(name, "") + version}
    installed = [Distribution({"Name": n}, v) for n, v in versions.items()]
    monkeypatch.setattr(check_venv, "distributions", lambda: installed)
    assert check_venv.differences() == [line.format(LOCKED.get(name)) for line in expected]


@pytest.fixture
def other_clone(tmp_path: Path) -> Path:
    """A folder with copies of scripts/ and both lists of dependencies."""
    shutil.copytree(ROOT / "scripts", tmp_path / "clone" / "scripts")
    for name in ("pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, tmp_path / "clone")
    return tmp_path / "clone"


def test_moved_or_outdated_environment_is_noticed(other_clone: Path) -> None:
    """An environment made for another folder or for other pins is told apart, by name."""
    lock = other_clone / "requirements.lock"
    lock.write_text(lock.read_text().replace("\nclick==", "\nclick==0."))
    result = call(sys.executable, other_clone / "scripts" / "check_venv.py")
    assert result.returncode == 1
    assert f"click 0.{LOCKED['click']} is locked, {LOCKED['click']} is installed" in result.stdout
    assert "not from this clone" in result.stdout


# --- set-up ---


def test_builds_are_locked_too(other_clone: Path) -> None:
    """The set-up gives pip the lock as constraints, so that what builds a package is of a locked version, too."""
    record_pip = """case "$*" in
        *"pip install"*) cat "$PIP_CONSTRAINT" "$PIP_BUILD_CONSTRAINT" >clone-constraints ; exit 1 ;;
        esac"""
    result = run_setup(other_clone, ["chmod"], GOOD_TOOLS | {"python3.11": venv_maker(record_pip)})
    assert result.returncode == 1
    lock = (other_clone / "requirements.lock").read_text()
    assert (other_clone / "clone-constraints").read_text() == lock * 2


def test_setup_leaves_a_good_environment_alone() -> None:
    """A second set-up installs nothing."""
    stamp = (ROOT / ".venv" / "fxsim-setup").stat()
    result = call(ROOT / "scripts" / "setup.sh")
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip().endswith("is up to date")
    assert (ROOT / ".venv" / "fxsim-setup").stat().st_mtime_ns == stamp.st_mtime_ns


def run_setup(clone: Path, tools: list[str], scripts: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the set-up of `clone` with nothing on PATH but `tools` of this machine and the given shell scripts."""
    path = clone / "bin"
    path.mkdir()
    for tool in ["bash", "dirname", "head", "tail", "readlink", "sha256sum", "cat", "rm", "cut", "mkdir", *tools]:
        found = shutil.which(tool)
        assert found is not None, f"{tool} is not installed"
        (path / tool).symlink_to(found)
    for name, text in scripts.items():
        (path / name).write_text(f"#!/bin/sh\n{text}\n")
        (path / name).chmod(0o755)
    environment = {"PATH": str(path), "HOME": str(clone)}
    return call(
        shutil.which("bash") or "bash", clone / "scripts" / "setup.sh", env=environment, stdin=subprocess.DEVNULL
    )


GOOD_TOOLS = dict.fromkeys(("python3.11", "c++", "make", "perl", "iverilog"), "exit 0")


def venv_maker(python: str) -> str:
    """A python3.11 that makes environments whose own python is this shell script."""
    return f"""
        [ "$2" = venv ] || exit 0
        mkdir -p "$3/bin"
        printf '#!/bin/sh\\n%s\\n' '{python}' >"$3/bin/python"
        chmod 755 "$3/bin/python"
    """


def test_setup_names_the_package_where_python_is_missing(other_clone: Path) -> None:
    """Without any Python from 3.11 to 3.14 and without apt, the packages to install by hand are named."""
    others = {name: script for name, script in GOOD_TOOLS.items() if name != "python3.11"}
    result = run_setup(other_clone, [], others)
    assert result.returncode == 1
    assert "missing: python3.11 python3.11-venv" in result.stderr
    assert not (other_clone / ".venv").exists()


def test_setup_gives_the_apt_command_without_root(other_clone: Path) -> None:
    """Without root and sudo, the exact command that installs what is missing is printed, and nothing else is named."""
    others = {name: script for name, script in GOOD_TOOLS.items() if name != "iverilog"}
    result = run_setup(other_clone, [], others | {"apt-get": "exit 9", "id": "echo 1000"})
    assert result.returncode == 1
    assert "sudo apt-get update && sudo apt-get install --no-install-recommends iverilog\n" in result.stderr
    assert not (other_clone / ".venv").exists()


def test_setup_says_when_apt_fails(other_clone: Path) -> None:
    """Where apt cannot install a package, the package and the command to repeat are named."""
    others = {name: script for name, script in GOOD_TOOLS.items() if name != "iverilog"}
    result = run_setup(other_clone, ["env"], others | {"apt-get": "exit 100", "id": "echo 0"})
    assert result.returncode == 1
    assert "apt could not install: iverilog" in result.stderr


def test_setup_goes_on_without_optional_tools(other_clone: Path) -> None:
    """Where apt has neither GHDL nor Chromium, the set-up says which tests are skipped and installs the rest."""
    python = venv_maker('case "$*" in *"pip install"*) echo reached >clone-pip ; exit 1 ;; esac')
    others = GOOD_TOOLS | {"python3.11": python, "apt-get": "exit 100", "id": "echo 0"}
    result = run_setup(other_clone, ["chmod", "env"], others)
    assert "cannot be installed with apt here: tests that need them are skipped" in result.stdout
    assert (other_clone / "clone-pip").read_text() == "reached\n"


def test_setup_says_when_packages_cannot_be_had(other_clone: Path) -> None:
    """Where pip fails, the set-up fails with a sentence about it and leaves no stamp that would hide it next time."""
    failing_pip = 'case "$*" in *"pip install"*) exit 1 ;; esac'
    result = run_setup(other_clone, ["chmod"], GOOD_TOOLS | {"python3.11": venv_maker(failing_pip)})
    assert result.returncode == 1
    assert "pip could not install the locked dependencies" in result.stderr
    assert not (other_clone / ".venv" / "fxsim-setup").exists()


@pytest.mark.parametrize(
    ("target", "last"),
    [
        ("signoff", "fxsim signoff --stage V1 -o reports/"),
        ("test", "pytest"),
        ("thorough", "fxsim signoff -o reports/"),
        ("quick", "tests"),
        ("docs", "mkdocs"),
        ("lock", "lock.sh"),
        ("lint", "clang-format"),
        ("bench", "benchmarks"),
    ],
)
def test_targets_set_up_first(target: str, last: str) -> None:
    """Every target prepares the environment before it does its work."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    result = call("make", "--no-print-directory", "-n", target, cwd=ROOT, env=environment)
    lines = result.stdout.splitlines()
    assert result.returncode == 0, result.stderr
    assert lines[0] == "scripts/setup.sh"
    assert last in lines[-1]


# --- docstrings ---


NAMELESS = "What|Of|How|If|That|Those|When|Where|Which|Who|Whose|Why"
"""Words that name no thing. "Whether" is not among them: it begins what a predicate answers."""


def test_docstrings_name_their_thing() -> None:
    """No docstring, of a constant either, begins with one of NAMELESS: its first words name the thing."""
    wrong = [
        f"{path}: {node.value.value.splitlines()[0]}"
        for path, tree in modules().items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        if re.match(rf"({NAMELESS})\b", node.value.value)
    ]
    assert wrong == []


# --- start-up ---


def imports(tree: ast.AST, everywhere: bool) -> Iterator[str]:
    """Full names of all that a module imports as it is imported; `everywhere`: or at any other time."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif everywhere or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield from imports(node, everywhere)


@cache
def modules() -> dict[Path, ast.Module]:
    """Every module of the package, parsed, by its place inside."""
    package = ROOT / "fxsim"
    found = {path.relative_to(package): ast.parse(path.read_text()) for path in sorted(package.rglob("*.py"))}
    assert Path("__init__.py") in found
    return found


def test_rooms_import_from_rooms_above() -> None:
    """No module imports from a room below its own, at the top or inside a function; every folder is a known room."""
    wrong = []
    for path, tree in modules().items():
        room = path.parts[0].removesuffix(".py")
        if room in ("__init__", "__main__"):
            continue
        allowed = (ROOMS[room] | {room} if room not in EVERYBODYS else set()) | EVERYBODYS
        for name in imports(tree, everywhere=True):
            top, imported, *_ = [*name.split("."), "__version__"]
            if top == "fxsim" and imported not in allowed | {"__version__"}:
                wrong.append(f"{path} imports {name}")
        # Of the package as a whole only its version and its place are used.
        for node in ast.walk(tree):
            match node:
                case ast.Attribute(ast.Name("fxsim"), name) if not name.startswith("__"):
                    wrong.append(f"{path} uses fxsim.{name}")
    assert wrong == []


def test_children_and_temporary_files_have_one_place() -> None:
    """Children are started by fxsim.process alone, and what is temporary is made by fxsim.temporary.

    So no child outlives the program, and what a killed one leaves is removed.
    """
    starts = {"Popen", "run", "call", "check_call", "check_output"}
    allowed = {
        "subprocess": {Path("process.py"), Path("benchmark", "startup.py")},  # the latter times a process alone
        # Golden files wait there to be put back; the simulators' cache sweeps itself, under its lock; no name at all.
        "tempfile": {
            Path("temporary.py"), Path("golden", "__main__.py"), Path("simulate", "cache.py"), Path("jit.py"),
        },
        # A process for each mutant, from one that has loaded all else: they end with it.
        "os": {Path("mutation", "loaded.py"), Path("mutation", "server.py")},
        "multiprocessing": set(),
    }  # fmt: skip
    uses = {"subprocess": starts, "os": {"fork", "system", "popen", "posix_spawn", "spawnv"}}
    wrong = []
    for path, tree in modules().items():
        for node in ast.walk(tree):
            match node:
                case ast.Attribute(ast.Name(module), name) if module in allowed and path not in allowed[module]:
                    if name in uses.get(module, {name}):
                        wrong.append(f"{path} uses {module}.{name}")
    assert wrong == []


def test_torch_stays_in_its_rooms() -> None:
    """Torch is imported in networks, training, bridge and what measures activations; elsewhere inside a function.

    No core room imports it at all.
    """
    core = (ROOMS["cosim"] | {"cosim", "vectors", "data", "signoff"}) | EVERYBODYS
    wrong = []
    for path, tree in modules().items():
        room = path.parts[0].removesuffix(".py")
        if room in ("networks", "training", "bridge") or path == Path("benchmark", "activations.py"):
            continue
        imported = imports(tree, everywhere=room in core)
        wrong += [f"{path} imports {name}" for name in imported if name.split(".")[0] == "torch"]
    assert wrong == []


@pytest.mark.slow
def test_onnx_stays_in_its_room() -> None:
    """ONNX and ONNX Runtime are imported in formats/onnx alone."""
    wrong = [
        f"{path} imports {name}"
        for path, tree in modules().items()
        for name in imports(tree, everywhere=True)
        if name.split(".")[0] in ("onnx", "onnxruntime") and path.parts[:2] != ("formats", "onnx")
    ]
    assert wrong == []


@pytest.mark.slow
def test_cocotb_stays_in_its_room() -> None:
    """The library cocotb is imported in the room cocotb alone, which no other room imports, and inside a simulator."""
    wrong = [
        f"{path} imports {name}"
        for path, tree in modules().items()
        for name in imports(tree, everywhere=True)
        if name.split(".")[0] == "cocotb" and path.parts[0] != "cocotb" and path != Path("mutation", "server.py")
    ]
    assert wrong == []
    assert [room for room, above in ROOMS.items() if "cocotb" in above] == []


LOADED = "import atexit, sys; atexit.register(lambda: print(*sorted(sys.modules), file=sys.stderr)); "


@pytest.mark.parametrize("module", ["fxsim", "fxsim.cli", "fxsim.tables.points", "fxsim.golden", "fxsim.formats.onnx"])
def test_start_up_is_light(module: str) -> None:
    """Importing the package or its command line loads neither the compiler nor torch, SciPy, ONNX or what draws."""
    result = call(sys.executable, "-c", f"{LOADED} import {module}")
    assert result.returncode == 0, result.stderr
    loaded = set(result.stderr.split())
    assert module in loaded
    # The command line hears Ctrl-C once it is loaded: not even numpy comes before it.
    assert loaded & (HEAVY | {"numpy", "click"} if module in ("fxsim", "fxsim.cli") else HEAVY) == set()


@pytest.mark.parametrize("command", ["info", "run"])
def test_integer_models_need_no_torch(command: str, tmp_path: Path) -> None:
    """Looking at a model and computing with it load the compiler at most."""
    images = tmp_path / "images.npy"
    np.save(images, np.zeros((1, 64, 48), np.int8))
    arguments = ["info"] if command == "info" else ["run", "-o", str(tmp_path / "out.npz")]
    arguments.insert(1, str(ROOT / "golden" / "psa_h96.safetensors"))
    arguments += [str(images)] if command == "run" else []
    result = call(sys.executable, "-c", f"{LOADED} from fxsim.cli import main; main({arguments!r})")
    assert result.returncode == 0, result.stderr
    # Numba imports a little of SciPy where that is installed: its version, and scipy.linalg.
    heavy = {"torch", "sklearn", "matplotlib", "scipy.stats", "scipy.io"}
    assert set(result.stderr.split()) & heavy == set()


def test_help_lists_every_command() -> None:
    """`fxsim --help` succeeds and names every command."""
    result = call(BIN / "fxsim", "--help")
    assert result.returncode == 0, result.stderr
    listed = set(re.findall(r"^\s*([a-z-]+)\s{2,}\S", result.stdout, re.MULTILINE))
    assert set(COMMANDS) <= listed


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_explains_itself(command: str) -> None:
    """`fxsim COMMAND --help` succeeds and loads nothing that takes long."""
    result = call(sys.executable, "-c", f"{LOADED} from fxsim.cli import main; main(['{command}', '--help'])")
    assert result.returncode == 0, result.stderr
    assert set(result.stderr.split()) & HEAVY == set()
    assert result.stdout.startswith(f"Usage: fxsim {command}")
    assert "--help" in result.stdout


def test_unknown_command_fails() -> None:
    """A command that does not exist is named, with an exit status other than 0."""
    result = call(BIN / "fxsim", "simulate-everything")
    assert result.returncode != 0
    assert "simulate-everything" in result.stderr


# --- data that travels with the package ---


def test_data_folders_of_a_clone() -> None:
    """In a clone the Verilog and the golden models are the ones at its top."""
    from fxsim import paths

    assert paths.rtl_dir() == ROOT / "rtl"
    assert (paths.rtl_dir() / "stream" / "stream_resmlp.v").is_file()
    assert paths.golden_dir() == ROOT / "golden"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that this clone gives, built with the pinned tools that are installed."""
    folder = tmp_path_factory.mktemp("wheel")
    options = ("--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", folder)
    result = call(sys.executable, "-m", "pip", "wheel", *options, ROOT)
    assert result.returncode == 0, result.stderr
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_holds_all_that_is_needed(wheel: Path) -> None:
    """Every file of the package, the Verilog and the golden data is in the wheel, byte for byte, and no other is."""
    inside = {"fxsim": "fxsim", "rtl": "fxsim/_rtl", "golden": "fxsim/_golden"}
    expected = {
        f"{inside[path.relative_to(ROOT).parts[0]]}/{'/'.join(path.relative_to(ROOT).parts[1:])}": path
        for path in tracked_files()
        if path.relative_to(ROOT).parts[0] in inside
    }
    data = ("py.typed", "devices/stream/harness.cpp", "signoff/report/page.html.j2", "_rtl/stream/stream_resmlp.v")
    for name in data:
        assert f"fxsim/{name}" in expected
    assert {"fxsim/_golden/signoff.toml", "fxsim/_golden/psa_h96.safetensors"} <= set(expected)
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if not name.split("/")[0].endswith(".dist-info")}
        assert found == set(expected)
        assert [name for name, path in expected.items() if archive.read(name) != path.read_bytes()] == []


def test_wheel_describes_itself(wheel: Path) -> None:
    """The wheel's metadata carries the package's version, the README, the licence and the command."""
    import fxsim

    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        text = archive.read(metadata).decode()
        assert f"\nVersion: {fxsim.__version__}\n" in text
        assert text.endswith((ROOT / "README.md").read_text())
        folder = metadata.removesuffix("METADATA")
        assert archive.read(f"{folder}licenses/LICENSE") == (ROOT / "LICENSE").read_bytes()
        assert "fxsim = fxsim.cli:main" in archive.read(f"{folder}entry_points.txt").decode()


def test_data_folders_of_a_wheel(wheel: Path, tmp_path: Path) -> None:
    """Unpacked from a wheel, the package uses its own copy of the data; without one, the error names the folder."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    script = (
        "from fxsim import errors, load, paths\nprint(paths.rtl_dir())\n"
        "print(load(paths.golden_dir() / 'small.safetensors').name)\nimport shutil; shutil.rmtree(paths.golden_dir())\n"
        "try: paths.golden_dir()\nexcept errors.FxsimError as error: print(error)"
    )
    result = call(sys.executable, "-c", script, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    found, name, error = result.stdout.splitlines()
    assert Path(found) == tmp_path / "fxsim" / "_rtl"
    assert name == "small"
    assert "golden/ is missing" in error


def asked_for(requirements: list[str], extras: set[str]) -> set[str]:
    """Names of the distributions that requirements ask for with these extras, and those in turn."""
    found: set[str] = set()
    for requirement in map(Requirement, requirements):
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in {"", *extras}):
            theirs = distribution(requirement.name).requires or []
            found |= {requirement.name, *asked_for(theirs, requirement.extras)}
    return found


@pytest.mark.slow
def test_wheel_asks_for_all_that_it_needs(wheel: Path, tmp_path: Path) -> None:
    """The wheel's content runs beside those distributions alone that fxsim[onnx] asks for, and that they do."""
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    (metadata,) = (tmp_path / "site").glob("*.dist-info/METADATA")
    asked = re.findall(r"^Requires-Dist: (.*)$", metadata.read_text(), re.MULTILINE)
    for name in asked_for(asked, {"onnx"}):
        files = distribution(name).files or []
        for top in {path.parts[0] for path in files} - {"..", "__pycache__"}:
            (tmp_path / "site" / top).symlink_to(distribution(name).locate_file(top))
    assert not (tmp_path / "site" / "torch").exists()
    begin = f"import sys; sys.path.insert(0, {str(tmp_path / 'site')!r})\n"
    export = f"from fxsim.cli import main; sys.argv = ['fxsim', 'export-onnx', {str(GOLDEN)!r}, '-o', 'm.onnx']; main()"
    # The compiled engine is imported, with all that it asks for; to compile its loops would show nothing more here.
    engines = f"import fxsim, fxsim.engines.compiled; print(fxsim.__file__, fxsim.load({str(GOLDEN)!r}).name)"
    for script in (engines, export):
        done = call(sys.executable, "-I", "-S", "-c", begin + script, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        if script == engines:
            place, name = done.stdout.split()
            assert Path(place).is_relative_to(tmp_path)
            assert name == "digits_small"
    assert (tmp_path / "m.onnx").is_file()


COMPUTES = """\
import fxsim, numpy as np; from fxsim import paths
model = fxsim.load(paths.golden_dir() / 'digits_small.safetensors')
x = np.load(paths.golden_dir() / 'digits_16x4.npy')
a, b = (fxsim.run(model, x, engine=e)['classifier'] for e in ('reference', 'numba'))
print(fxsim.__file__, len(x), (a == b).all())
"""


@pytest.mark.thorough
@pytest.mark.timeout(1800)  # pip fetches 200 MB
def test_wheel_installs_into_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    """Pip brings all that fxsim[onnx] needs, at the locked versions; outside the clone it computes."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    pip = (python, "-m", "pip", "--disable-pip-version-check", "-q")
    elsewhere = {"cwd": tmp_path}
    constraints = ("-c", ROOT / "requirements.lock")
    reached = call(*pip, "download", "--no-deps", "-d", tmp_path / "reached", *constraints, "mdurl", **elsewhere)
    if reached.returncode != 0:
        pytest.skip("pip can reach no package index here: the smallest of the dependencies cannot be had")
    # Compiling every module of all dependencies would take most of the time; few of them are imported here.
    installed = call(*pip, "install", "--no-compile", *constraints, f"{wheel}[onnx]", **elsewhere)
    assert installed.returncode == 0, installed.stderr
    assert call(*pip, "check", **elsewhere).returncode == 0
    fxsim = python.parent / "fxsim"
    for arguments in (("--version",), ("info", GOLDEN), ("export-onnx", GOLDEN, "-o", "model.onnx")):
        done = call(fxsim, *arguments, **elsewhere)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "model.onnx").is_file()
    done = call(python, "-c", COMPUTES, **elsewhere)
    assert done.returncode == 0, done.stderr
    place, images, equal = done.stdout.split()
    assert Path(place).is_relative_to(tmp_path)
    assert (images, equal) == ("32", "True")


def test_cache_folder_can_be_moved(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """FXSIM_CACHE names the cache folder; without it the cache lies under the user's own."""
    from fxsim import paths

    monkeypatch.setenv("FXSIM_CACHE", str(tmp_path / "here"))
    assert paths.cache_dir() == tmp_path / "here"
    monkeypatch.delenv("FXSIM_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user"))
    assert paths.cache_dir() == tmp_path / "user" / "fxsim"


# --- the repository ---


def test_no_machine_paths_or_registry_addresses() -> None:
    """No file that is committed names a folder of somebody's machine or the address of a package registry."""
    # Put together from pieces, so that this file does not hold what it looks for.
    folders = "|".join(["home", "root", "work", "Users"])
    forbidden = re.compile(
        rb"(?<![\w.$}~-])/(?:%s)/[\w.]|(?:py" rb"pi|python" rb"hosted)\.org|index-" rb"url" % folders.encode()
    )
    assert forbidden.search(b"see /" + b"home/someone")
    found = [
        f"{path.relative_to(ROOT)}: {match.group().decode()}"
        for path in tracked_files()
        for match in forbidden.finditer(path.read_bytes())
    ]
    assert found == []


def test_version_and_licence_agree() -> None:
    """The package, CITATION.cff, pyproject.toml and LICENSE state one version and one licence."""
    import fxsim

    citation = (ROOT / "CITATION.cff").read_text()
    licence = (ROOT / "LICENSE").read_text()
    assert re.fullmatch(r"\d+\.\d+\.\d+", fxsim.__version__)
    assert f"\nversion: {fxsim.__version__}\n" in citation
    assert "version" not in PROJECT
    assert "version" in PROJECT["dynamic"]
    assert f"\nlicense: {PROJECT['license']}\n" in citation
    assert "10.1145/3705926" in citation
    assert PROJECT["license"] == "Apache-2.0"
    assert re.search(r"Apache License\s+Version 2\.0", licence)
    assert [int(section) for section in re.findall(r"^ {3}(\d)\. ", licence, re.MULTILINE)] == list(range(1, 10))
