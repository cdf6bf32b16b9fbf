"""Labelled pictures, a data set of two splits, and stratified splitting."""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
import numpy.typing as npt

from fxsim.errors import StimulusError

UInt8 = npt.NDArray[np.uint8]
Int64 = npt.NDArray[np.int64]
Float32 = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures with their labels. StimulusError where types or shapes are others than stated.

    `images` is uint8 [n, height, width, colours] with 1 colour (grey) or 3 (red, green, blue); `labels` is int64 [n],
    the class of each, counted from 0.
    """

    images: UInt8
    labels: Int64

    def __post_init__(self) -> None:
        check_images(self.images)
        if self.labels.dtype != np.int64 or self.labels.shape != (len(self.images),):
            raise StimulusError(
                f"labels are {self.labels.dtype} {self.labels.shape}, expected int64 ({len(self.images)},), "
                f"one for each image"
            )

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: npt.NDArray[np.integer] | Sequence[int]) -> "Pictures":
        """The pictures at these indices, in their order, as copies."""
        where = np.asarray(indices, np.int64)
        return Pictures(self.images[where], self.labels[where])


@dataclass(frozen=True, eq=False)
class DataSet:
    """Pictures to train with and pictures to test with, all of one size, labelled 0 to `classes` - 1.

    StimulusError where a split is empty, a label is out of range, a class has no picture to train with, or the splits'
    pictures differ in shape.
    """

    name: str
    classes: int
    train: Pictures
    test: Pictures

    def __post_init__(self) -> None:
        for what, pictures in (("train", self.train), ("test", self.test)):
            if not len(pictures):
                raise StimulusError(f"data set {self.name}: {what} holds no pictures, expected at least one")
            low, high = int(pictures.labels.min()), int(pictures.labels.max())
            if low < 0 or high >= self.classes:
                raise StimulusError(
                    f"data set {self.name}: {what} has label {low if low < 0 else high}, "
                    f"expected 0 to {self.classes - 1}"
                )
        if self.train.images.shape[1:] != self.test.images.shape[1:]:
            raise StimulusError(
                f"data set {self.name}: pictures of shape {self.train.images.shape[1:]} in train and "
                f"{self.test.images.shape[1:]} in test, expected one shape"
            )
        absent = np.flatnonzero(np.bincount(self.train.labels, minlength=self.classes) == 0)
        if len(absent):
            raise StimulusError(
                f"data set {self.name}: no picture of class {absent[0]} in train, "
                f"expected at least one of each of the {self.classes} classes"
            )

    @cached_property
    def sha256(self) -> str:
        """SHA-256 over images and labels of both splits, types and shapes stated; the name has no part in it."""
        digest = hashlib.sha256()
        for pictures in (self.train, self.test):
            for array, kind in ((pictures.images, "uint8"), (pictures.labels, "<i8")):
                # Shapes are stated, so that no two data sets give the same stream of bytes.
                digest.update(f"\0{kind} {array.shape}\0".encode())
                digest.update(np.ascontiguousarray(array, kind).data)
        return digest.hexdigest()


def check_images(images: UInt8) -> None:
    """StimulusError unless `images` is uint8 [n, height, width, colours], height and width >= 1, colours 1 or 3."""
    fits = images.dtype == np.uint8 and images.ndim == 4 and min(images.shape[1:]) >= 1 and images.shape[3] in (1, 3)
    if not fits:
        raise StimulusError(
            f"images are {images.dtype} {images.shape}, expected uint8 [n, height, width, colours] with 1 or 3 colours"
        )


def split(pictures: Pictures, fraction: float, seed: int) -> tuple[Pictures, Pictures]:
    """Split into (the rest, a part of about `fraction` of it), class by class.

    Of a class with n pictures the part takes floor(fraction * n + 1/2), computed exactly with `fraction` as the decimal
    number that it prints as, so that 0.3 of 5 is 2 wherever it is computed; drawn without replacement by a generator
    seeded with `seed`, 0 or more, and the class. Both keep the order of `pictures`. StimulusError where `fraction` is
    not between 0 and 1 or leaves either side without a picture.
    """
    if not 0 < fraction < 1:
        raise StimulusError(f"fraction of a split is {fraction}, expected a number between 0 and 1, both excluded")
    if seed < 0:
        raise StimulusError(f"seed of a split is {seed}, expected 0 or more")
    share = Fraction(repr(float(fraction)))
    taken = np.zeros(len(pictures), bool)
    for label in np.unique(pictures.labels):
        members = np.flatnonzero(pictures.labels == label)
        count = math.floor(share * len(members) + Fraction(1, 2))
        taken[np.random.default_rng([seed, int(label)]).permutation(members)[:count]] = True
    if taken.all() or not taken.any():
        raise StimulusError(
            f"a split of {len(pictures)} pictures by the fraction {fraction} leaves one side empty, "
            "expected at least one picture on each"
        )
    return pictures.take(np.flatnonzero(~taken)), pictures.take(np.flatnonzero(taken))
