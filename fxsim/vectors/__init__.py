"""Test vectors for any simulator: files of stimulus and expected values, a manifest, and a check."""

from fxsim.vectors.check import VectorCheck, VectorProblem, check_vectors
from fxsim.vectors.formats import FORMATS
from fxsim.vectors.manifest import MANIFEST, STIMULUS_FILE, VectorManifest, read_manifest
from fxsim.vectors.stimulus import DRAWS, draw_stimulus
from fxsim.vectors.write import write_vectors

__all__ = [
    "DRAWS",
    "FORMATS",
    "MANIFEST",
    "STIMULUS_FILE",
    "VectorCheck",
    "VectorManifest",
    "VectorProblem",
    "check_vectors",
    "draw_stimulus",
    "read_manifest",
    "write_vectors",
]
