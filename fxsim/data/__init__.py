"""Data sets: pictures with labels, splits, preprocessing to tokens, augmentation. numpy alone, no torch."""

from fxsim.data.augmentation import Augmentation, augment
from fxsim.data.load import DataSource, load_data
from fxsim.data.pictures import DataSet, Pictures, split
from fxsim.data.preprocessing import Preprocessing, channel_statistics, fit_pictures, to_tokens

__all__ = [
    "Augmentation",
    "DataSet",
    "DataSource",
    "Pictures",
    "Preprocessing",
    "augment",
    "channel_statistics",
    "fit_pictures",
    "load_data",
    "split",
    "to_tokens",
]
