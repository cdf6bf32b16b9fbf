"""Say whether the environment that runs this script is the one requirements.lock describes.

Prints one line for each difference and exits with 1 if there was any: a locked distribution missing or at another
version, one installed that is not locked, or fxsim installed from another place (a virtual environment hard-codes its
path, so one that moved with its clone must be rebuilt).
"""

import json
import re
import sys
from importlib.metadata import PackageNotFoundError, distribution, distributions
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parent.parent
UNPINNED = {"fxsim", "pip", "setuptools", "wheel"}  # what makes environments; `wheel` only builds pyverilog
CUDA = ("nvidia-", "cuda-", "triton")  # what torch's CUDA build brings along, in versions that torch itself pins


def canonical(name: str) -> str:
    """The normalised form of a distribution's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def parse_pins(text: str) -> dict[str, str]:
    """Map name to version; ValueError for a line that is neither `name==version` nor a comment."""
    pins: dict[str, str] = {}
    for line in text.splitlines():
        requirement = line.partition("#")[0].strip()
        if not requirement:
            continue
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.+!]+)", requirement)
        if match is None:
            raise ValueError(f"requirements.lock: {requirement!r} is not an exact pin (name==version)")
        pins[canonical(match[1])] = match[2]
    return pins


def differences() -> list[str]:
    """Every way in which the running environment differs from requirements.lock."""
    wanted = parse_pins((ROOT / "requirements.lock").read_text())
    found = {canonical(d.metadata["Name"]): d.version for d in distributions()}
    if "torch" in found:
        # Without the local part: torch's builds for CPU and CUDA are 2.13.0+cpu and 2.13.0+cu130.
        found["torch"] = found["torch"].partition("+")[0]

    lines = [
        f"{name} {version} is locked, {found.get(name, 'nothing')} is installed"
        for name, version in wanted.items()
        if found.get(name) != version and name not in UNPINNED
    ]
    lines += [
        f"{name} {version} is installed but not locked"
        for name, version in found.items()
        if name not in wanted and name not in UNPINNED and not name.startswith(CUDA)
    ]
    try:
        origin = json.loads(distribution("fxsim").read_text("direct_url.json") or "{}").get("url", "")
    except PackageNotFoundError:
        return [*lines, "fxsim is not installed"]
    if Path(unquote(urlsplit(origin).path)).resolve() != ROOT:
        lines.append(f"fxsim is installed from {origin or 'nowhere known'}, not from this clone")
    return lines


if __name__ == "__main__":
    found_differences = differences()
    print("\n".join(found_differences))
    sys.exit(1 if found_differences else 0)
