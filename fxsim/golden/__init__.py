"""The models, images and vectors kept in `golden/`: how they are made, and the check that they are what they were."""

from fxsim.families.random import SHIFT_RANGE, generate_model, natural_images
from fxsim.golden.manifest import MANIFEST, check_golden, golden_file, read_manifest
from fxsim.golden.training import check_training

__all__ = [
    "MANIFEST",
    "SHIFT_RANGE",
    "check_golden",
    "check_training",
    "generate_model",
    "golden_file",
    "natural_images",
    "read_manifest",
]
