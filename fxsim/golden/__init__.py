"""The models, images and vectors kept in `golden/`: how they are made, and the check that they are what they were."""

from fxsim.golden.manifest import MANIFEST, check_golden, golden_file, read_manifest
from fxsim.golden.random_models import SHIFT_RANGE, generate_model, natural_images

__all__ = [
    "MANIFEST",
    "SHIFT_RANGE",
    "check_golden",
    "generate_model",
    "golden_file",
    "natural_images",
    "read_manifest",
]
