"""Published areas of streaming accelerators of the same networks."""

from fxsim.devices.base import PublishedArea
from fxsim.devices.published import POSTER, SOURCE, published_config
from fxsim.graph import Model

_HIDDEN = 96

_PSA = (
    PublishedArea(
        source=SOURCE,
        of="PSA of hidden size 96",
        against="ReLU of hidden size 192",
        change={"LUT + DSP": -25.0},
    ),
    PublishedArea(source=POSTER, of="PSA on a U250 at 200 MHz", lut=66_462, dsp=697, bram=140),
    PublishedArea(source=POSTER, of="PSA on an XC7K160T at 143 MHz", lut=75_655, dsp=600, bram=212),
)
_RELU = (PublishedArea(source=POSTER, of="ReLU on a U250 at 200 MHz", lut=62_025, dsp=1_083, bram=84),)


def published(model: Model) -> tuple[PublishedArea, ...]:
    """Published areas of streaming accelerators with a network of the model's dimensions."""
    config = published_config(model)
    if config is None or config.hidden != _HIDDEN:
        return ()
    return _PSA if config.psa else _RELU
