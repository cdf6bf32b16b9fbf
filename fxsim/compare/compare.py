"""Comparing two sources: all values of the taps asked for, chunk after chunk, in flat memory."""

from collections.abc import Callable, Iterable, Iterator

from fxsim.compare.result import Comparison
from fxsim.compare.sources import Source
from fxsim.compare.tally import Tally, TapShape
from fxsim.errors import ComparisonError

CHUNK_VALUES = 1 << 23
"""Values of all taps of one source that are compared at once: fewer images where each is large."""

CHUNK_IMAGES = 512
"""Most images compared at once."""

Progress = Callable[[int, int], None]
"""Called with (images done, images)."""


def compare(
    expected: Source,
    found: Source,
    taps: Iterable[TapShape],
    *,
    chunk: int | None = None,
    examples: int = 0,
    progress: Progress | None = None,
) -> Comparison:
    """Compare every value of `taps` in two sources. The taps come in the order of the graph, all images are compared.

    `chunk`: images at once, by default what keeps memory flat. `examples`: differences of each tap that are kept.

    ComparisonError, naming source and tap, where no tap is named, one is named twice or missing in a source, numbers
    of images differ, or shapes or types do; and where `chunk` or `examples` is too small. Values that differ are a
    result, not an error.
    """
    if chunk is not None and chunk < 1:
        raise ComparisonError(f"chunk is {chunk} images, expected at least 1")
    if examples < 0:
        raise ComparisonError(f"examples is {examples}, expected 0 or more")
    shapes = tuple(taps)
    names = tuple(shape.tap for shape in shapes)
    count = expected.images
    _check(expected, found, names)
    tallies = [Tally(shape, count, examples) for shape in shapes]
    for part in _parts(count, _chunk_images(shapes) if chunk is None else chunk):
        wanted, got = expected.values(part, names), found.values(part, names)
        for source, values in ((expected, wanted), (found, got)):
            if missing := [name for name in names if name not in values]:
                raise ComparisonError(f"{source.name} gave no values of tap '{missing[0]}'")
        for tally in tallies:
            one, other = wanted[tally.shape.tap], got[tally.shape.tap]
            if len(one) != part.stop - part.start:
                raise ComparisonError(
                    f"tap '{tally.shape.tap}' of {expected.name} has {len(one)} images, "
                    f"expected {part.stop - part.start} (from {part.start} on)"
                )
            tally.add(one, other, (expected.name, found.name))
        if progress is not None:
            progress(part.stop, count)
    return Comparison(
        expected=expected.name, found=found.name, images=count, taps=tuple(tally.result() for tally in tallies)
    )


def _check(expected: Source, found: Source, names: tuple[str, ...]) -> None:
    origins = [getattr(source, "origin", None) for source in (expected, found)]
    if expected is found or (origins[0] is not None and origins[0] == origins[1]):
        raise ComparisonError(f"{expected.name} cannot be compared with itself ({found.name})")
    if not names:
        raise ComparisonError(f"no tap was named to compare {expected.name} and {found.name} at")
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ComparisonError(f"tap '{twice}' was named twice, expected once")
    for source in (expected, found):
        if missing := [name for name in names if name not in source.taps]:
            raise ComparisonError(f"{source.name} has no tap '{missing[0]}'; it has: {', '.join(source.taps)}")
    if found.images != expected.images:
        raise ComparisonError(
            f"{found.name} has {found.images} images, expected {expected.images} as {expected.name} has"
        )


def _chunk_images(shapes: tuple[TapShape, ...]) -> int:
    return max(1, min(CHUNK_IMAGES, CHUNK_VALUES // max(1, sum(shape.size for shape in shapes))))


def _parts(images: int, chunk: int) -> Iterator[slice]:
    """Slices of `chunk` images, the last of what is left."""
    return (slice(start, min(start + chunk, images)) for start in range(0, images, chunk))
