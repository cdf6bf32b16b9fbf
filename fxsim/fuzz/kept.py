"""Cases that are kept of failures: a folder with the network, its images, and how to run it again."""

import platform
import re
import shlex
from importlib import metadata
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct

from fxsim import temporary
from fxsim.contract.arithmetic import Integers
from fxsim.errors import FileError
from fxsim.formats import atomic_write, load, model_sha256, read_stimulus, save
from fxsim.formats.text import read_json
from fxsim.fuzz.examine import Failure
from fxsim.fuzz.shrink import Small
from fxsim.graph import Model
from fxsim.simulate.sources import hash_parts
from fxsim.version import __version__

CASE, MODEL, IMAGES, SCRIPT = "case.json", "model.safetensors", "x.npy", "replay.sh"

_ONE = """#!/bin/sh
# Runs this case again through everything that computes it here.
exec fxsim fuzz --replay "$(dirname -- "$0")"
"""
_ALL = """#!/bin/sh
# Runs every case that lies here again.
status=0
for case in "$(dirname -- "$0")"/*/; do
    fxsim fuzz --replay "$case" || status=1
done
exit $status
"""
_CASE_BYTES_MAX = 1 << 20
_PACKAGES = ("numpy", "numba", "llvmlite", "onnx", "onnxruntime")
_Text = Annotated[str, Meta(max_length=2000)]


class DeviceRun(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The run of a device that failed: its name, and the stall pattern."""

    device: _Text
    stall: _Text


class KeptCase(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The facts of a case. `seed` and `number`: of the network that it was made of, before it was made smaller.

    `sha256`: of all other facts and of the images; of version 1 there is none.
    """

    format: Literal["fxsim.fuzz-case"] = "fxsim.fuzz-case"
    version: Literal[1, 2] = 2
    seed: int
    number: int
    failure: Failure
    model_sha256: _Text
    versions: dict[str, str]
    smallest: _Text
    device: DeviceRun | None = None
    sha256: Annotated[str, Meta(pattern="^[0-9a-f]{64}$")] | None = None

    def sealed(self, x: Integers) -> "KeptCase":
        """The case with the hash of its facts and of these images."""
        facts = msgspec.json.encode(msgspec.structs.replace(self, sha256=None))
        images = f"{x.dtype.str} {x.shape}".encode()
        return msgspec.structs.replace(self, sha256=hash_parts(facts, images, np.ascontiguousarray(x).tobytes()))


def keep(folder: Path, small: Small, seed: int, number: int, device: DeviceRun | None = None) -> Path:
    """Write a case into a folder of its own in `folder`, whole or not at all; what is there is never written over."""
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^a-z0-9]+", "-", f"{small.failure.way} {small.failure.taker} {seed} {number}".lower()).strip("-")
    case = KeptCase(
        seed=seed,
        number=number,
        failure=small.failure,
        model_sha256=model_sha256(small.model),
        versions=_versions(),
        smallest=small.words,
        device=device,
    ).sealed(small.x)
    with temporary.folder("case", folder) as made:
        write_case(made, case, small.model, small.x)
        for place in (folder / f"{name}{suffix}" for suffix in ("", *(f"-{n}" for n in range(2, 1000)))):
            if not place.exists():
                # A folder of the same file system takes its name at once, and not where there is one by now.
                place.mkdir()
                for file in sorted(made.iterdir()):
                    file.replace(place / file.name)
                return place
    raise FileError(f"{folder} has too many cases called '{name}'")


def write_case(folder: Path, case: KeptCase, model: Model, x: Integers) -> None:
    """Write the files of a case."""
    save(model, folder / MODEL)
    with atomic_write(folder / IMAGES) as file, file.open("wb") as stream:
        np.save(stream, x, allow_pickle=False)
    with atomic_write(folder / SCRIPT) as file:
        file.write_text(_ONE, encoding="ascii")
        file.chmod(0o755)
    with atomic_write(folder / CASE) as file:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(case)) + b"\n")


def write_script(folder: Path) -> None:
    """Write the script that runs every case of a folder again; its status is 1 where one of them fails."""
    with atomic_write(folder / SCRIPT) as file:
        file.write_text(_ALL, encoding="ascii")
        file.chmod(0o755)


def read_case(folder: Path) -> tuple[KeptCase, Model, Integers]:
    """A case that was kept. FileError where it is none, or its model, images or facts are others than were kept."""
    case = read_json(folder / CASE, KeptCase, _CASE_BYTES_MAX, "a case that was kept of random networks")
    model = load(folder / MODEL)
    if model_sha256(model) != case.model_sha256:
        raise FileError(f"{folder / MODEL}: is another model than {CASE} states")
    x = read_stimulus(folder / IMAGES, model)
    if (case.sha256 is None) != (case.version == 1):
        raise FileError(f"{folder / CASE}: is of version {case.version}; from 2 on, and only then, it states a sha256")
    if case.sha256 is not None and case != case.sealed(x):
        raise FileError(f"{folder}: {CASE} or {IMAGES} are others than were kept: their hash is not the one stated")
    return case, model, x


def replay_command(folder: Path) -> str:
    """The command that runs a kept case again."""
    return f"fxsim fuzz --replay {shlex.quote(str(folder))}"


def _versions() -> dict[str, str]:
    versions = {"fxsim": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "absent"
    return versions
