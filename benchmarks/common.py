"""What measurements share: the published data, the machine, the model and images to measure with."""

import os
import platform
from pathlib import Path

import llvmlite
import numba
import numpy as np
import numpy.typing as npt

import fxsim
from fxsim.formats.headers import import_headers
from fxsim.graph import Model
from fxsim.machine import count_cores, find_processor
from fxsim.paths import golden_dir

ROOT = Path(__file__).resolve().parent.parent


def published(folder: str) -> Path | None:
    """A folder of the published data, or None where that is absent."""
    override = os.environ.get("FXSIM_PUBLISHED")
    path = (Path(override) if override else ROOT.parent / "shared" / "published") / folder
    return path if path.is_dir() else None


def machine() -> str:
    """Processor and versions, in one line."""
    versions = (
        f"fxsim {fxsim.__version__}, Python {platform.python_version()}, numpy {np.__version__}, "
        f"numba {numba.__version__}, llvmlite {llvmlite.__version__}"
    )
    return f"{find_processor()}, {count_cores()} CPUs; {versions}"


def measured_model(path: Path | None) -> Model:
    """The model at `path`; by default the published PSA model or, where that is absent, the golden one of its size."""
    if path is not None:
        return fxsim.load(path)
    folder = published("stream_psa_h96")
    return import_headers(folder) if folder else fxsim.load(golden_dir() / "psa_h96.safetensors")


def measured_images(model: Model, count: int) -> npt.NDArray[np.int8]:
    """Images for a model: the golden ones over and over where they fit, else random ones."""
    golden = np.load(golden_dir() / "digits_64x48.npy", allow_pickle=False)
    if golden.shape[1:] == model.graph.input_shape:
        return np.resize(golden, (count, *golden.shape[1:]))
    return np.random.default_rng(1).integers(-128, 128, (count, *model.graph.input_shape)).astype(np.int8)
