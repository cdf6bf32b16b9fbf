"""Published areas of SIMD accelerators of the same networks."""

from fxsim.devices.base import PublishedArea
from fxsim.devices.published import SOURCE, published_config
from fxsim.graph import Model


def published(model: Model) -> tuple[PublishedArea, ...]:
    """Published areas of SIMD accelerators with a network of the model's dimensions."""
    config = published_config(model)
    if config is None or not config.psa:
        return ()
    against = "the same without tables and interpolation"
    return (PublishedArea(source=SOURCE, of="16 x 16 MACs, with tables", against=against, change={"LUT": 3.5}),)
