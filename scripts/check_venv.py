"""Say whether the environment that runs this script is the one pyproject.toml describes.

Prints one line for each difference and exits with 1 if there was any: a pinned distribution missing or at another
version, one installed that is not pinned, or fxsim installed from another place (a virtual environment hard-codes its
path, so one that moved with its clone must be rebuilt).

With --constraints it prints every pin instead, as constraints for pip: what pip fetches to build a package obeys no
requirement, but does obey these.
"""

import json
import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution, distributions
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
INSTALLED_EXTRAS = ("test", "lint", "torch", "onnx", "bench")  # what scripts/setup.sh installs
UNPINNED = {"fxsim", "pip", "setuptools", "wheel"}
CUDA = ("nvidia-", "cuda-", "triton")  # what torch's CUDA build brings along, in versions that torch itself pins


def canonical(name: str) -> str:
    """The normalised form of a distribution's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse_pins(requirements: list[str]) -> dict[str, str]:
    """Map name to version; ValueError for anything but `name==version`."""
    pins: dict[str, str] = {}
    for requirement in requirements:
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.+!]+)", requirement)
        if match is None:
            raise ValueError(f"pyproject.toml: {requirement!r} is not an exact pin (name==version)")
        pins[canonical(match[1])] = match[2]
    return pins


def differences() -> list[str]:
    """Every way in which the running environment differs from pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras: dict[str, list[str]] = project["optional-dependencies"]
    wanted = parse_pins(project["dependencies"] + [pin for extra in INSTALLED_EXTRAS for pin in extras[extra]])
    allowed = wanted | parse_pins([pin for pins in extras.values() for pin in pins])
    found = {canonical(d.metadata["Name"]): d.version for d in distributions()}
    if "torch" in found:
        # Without the local part: torch's builds for CPU and CUDA are 2.13.0+cpu and 2.13.0+cu130.
        found["torch"] = found["torch"].partition("+")[0]

    lines = [
        f"{name} {version} is pinned, {found.get(name, 'nothing')} is installed"
        for name, version in wanted.items()
        if found.get(name) != version
    ]
    lines += [
        f"{name} {version} is installed but not pinned"
        for name, version in found.items()
        if name not in allowed and name not in UNPINNED and not name.startswith(CUDA)
    ]
    try:
        origin = json.loads(distribution("fxsim").read_text("direct_url.json") or "{}").get("url", "")
    except PackageNotFoundError:
        return [*lines, "fxsim is not installed"]
    if Path(unquote(urlsplit(origin).path)).resolve() != ROOT:
        lines.append(f"fxsim is installed from {origin or 'nowhere known'}, not from this clone")
    return lines


def constraints() -> list[str]:
    """Every pin of pyproject.toml, those of builds included, one `name==version` each."""
    tables = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = tables["project"]
    lists = [project["dependencies"], tables["build-system"]["requires"]]
    lists += [*project["optional-dependencies"].values(), *tables["dependency-groups"].values()]
    pins = parse_pins([requirement for requirements in lists for requirement in requirements])
    return [f"{name}=={version}" for name, version in sorted(pins.items())]


if __name__ == "__main__":
    if sys.argv[1:] == ["--constraints"]:
        print("\n".join(constraints()))
        sys.exit()
    found_differences = differences()
    print("\n".join(found_differences))
    sys.exit(1 if found_differences else 0)
