"""Values that a design gave and that are not the expected ones, as a harness leaves them in a file."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fxsim.errors import ToolError

_RECORD = np.dtype([("source", "<i4"), ("image", "<u4"), ("index", "<u8"), ("got", "<i8")])
_AGAIN, _CUT = -2, -3

Records = npt.NDArray[np.void]
"""Records with the fields `source` (a tap's number, -1 for the output), `image`, `index` in the stream, and `got`."""


@dataclass(frozen=True)
class Differences:
    """Every value that differed in the images before `cut` (None: in all), counted from the first of the run.

    Values that were computed again after a reset count as they came the last time.
    """

    records: Records
    cut: int | None

    def of(self, image: int, stream: int) -> Records:
        """The records of a stream in an image."""
        chosen: Records = self.records[(self.records["image"] == image) & (self.records["source"] == stream)]
        return chosen

    @property
    def images(self) -> tuple[int, ...]:
        """The images that have a difference and of which all are known, in order."""
        found = np.unique(self.records["image"]).tolist()
        return tuple(image for image in found if self.cut is None or image < self.cut)


def difference_arguments(path: Path | None, most: int, images: int) -> dict[str, str]:
    """A harness's arguments that have it leave differences in a file: at most so many, of the first so many images.

    The images are counted from the first that differs. None: no file.
    """
    return {"differences": str(path or ""), "differences_max": str(most), "differences_images": str(images)}


def read_differences(path: Path, most: int) -> Differences:
    """The file that a harness left. ToolError where it is none, or holds more than it was allowed."""
    try:
        size = path.stat().st_size
        # Beside differences it holds a mark for each reset and each job.
        if size % _RECORD.itemsize or size > 2 * (most + (1 << 20)) * _RECORD.itemsize:
            raise ToolError(f"the simulator left {size:,} bytes of differences, expected records of {_RECORD.itemsize}")
        records = np.fromfile(path, _RECORD)
    except OSError as error:
        raise ToolError(f"the simulator left no differences: {error.strerror or error}") from error
    stream = records["source"]
    kept = stream >= -1
    for at in np.flatnonzero(stream == _AGAIN).tolist():
        kept[:at] &= records["image"][:at] < records["image"][at]
    cut = records["image"][stream == _CUT]
    return Differences(records[kept], int(cut.min()) if cut.size else None)
