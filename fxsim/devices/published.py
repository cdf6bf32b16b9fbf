"""Dimensions of the networks that areas are published of."""

from fxsim.errors import ModelError
from fxsim.families import ResMLPConfig, recognise_resmlp
from fxsim.graph import Model

SOURCE = "Singh and Bazargan, ACM TRETS 18(2):21, 2025"
POSTER = "their earlier poster, whose network's hidden size is not stated"


def published_config(model: Model) -> ResMLPConfig | None:
    """The dimensions of a model of the published network, at any hidden size; None where it is none of them."""
    try:
        config = recognise_resmlp(model.graph)
    except ModelError:
        return None
    dimensions = config.tokens, config.values, config.channels, config.blocks, config.classes
    return config if dimensions == (64, 48, 96, 4, 10) else None
