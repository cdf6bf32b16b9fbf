"""Comparing two sources: counts, first difference, verdict and words, against plain loops over every value."""

import itertools
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fxsim.compare import (
    ArraySource,
    Comparison,
    ComputedSource,
    Difference,
    FloatSource,
    Tally,
    TapComparison,
    TapShape,
    Verdict,
    compare,
    engine_source,
    first_difference,
    model_taps,
    place,
    sentence,
)
from fxsim.contract import Number, Tensor
from fxsim.engines import run
from fxsim.errors import ComparisonError, StimulusError
from fxsim.families import ResMLPConfig, build_resmlp, resmlp_parameters
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Relu

Arrays = dict[str, npt.NDArray[Any]]

EMBED, SCORES = TapShape("embed", ("token", "channel"), (2, 3)), TapShape("scores", ("channel",), (4,))
TAPS = (EMBED, SCORES)
HERE = Difference(image=7, tap="embed", index={"token": 1, "channel": 2}, expected=-3, got=4)
DTYPES = (np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.float32, np.float64)


def zeros(images: int = 5, dtype: npt.DTypeLike = np.int8) -> Arrays:
    """Values of both taps, all zero."""
    return {tap.tap: np.zeros((images, *tap.shape), dtype) for tap in TAPS}


def changed(arrays: Arrays, *changes: tuple[str, tuple[int, ...], float]) -> Arrays:
    """A copy in which some values are others."""
    copy = {tap: values.copy() for tap, values in arrays.items()}
    for tap, at, value in changes:
        copy[tap][at] = value
    return copy


def compare_arrays(expected: Arrays, found: Arrays, taps: tuple[TapShape, ...] = TAPS, **options: Any) -> Comparison:
    """Compare arrays as sources `one` and `other`."""
    return compare(ArraySource("one", expected), ArraySource("other", found), taps, **options)


def counted(*counts: tuple[int, int, int], repeats: bool = False) -> Comparison:
    """A comparison of taps of so many values, compared, and different."""
    taps = tuple(
        TapComparison(
            tap="embed",
            values=values,
            compared=compared,
            differ=differ,
            first=HERE if differ else None,
            repeats=repeats,
        )
        for values, compared, differ in counts
    )
    return Comparison(expected="one", found="other", images=1, taps=taps)


# --- counts and places ---


@st.composite
def two_sources(draw: st.DrawFn) -> tuple[tuple[TapShape, ...], Arrays, Arrays, int, int]:
    """Taps, values of two sources that differ in some places, images at once, and examples to keep."""
    axes = ("token", "row", "column", "channel")
    taps = tuple(
        TapShape(f"tap{i}", axes[:dims], tuple(draw(st.integers(1, 3)) for _ in range(dims)))
        for i, dims in enumerate(draw(st.lists(st.integers(1, 4), min_size=1, max_size=3)))
    )
    images, dtype = draw(st.integers(1, 6)), np.dtype(draw(st.sampled_from(DTYPES)))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    low, high = (-100, 100) if dtype.kind == "f" else (int(np.iinfo(dtype).min), int(np.iinfo(dtype).max))
    one: Arrays = {}
    other: Arrays = {}
    for tap in taps:
        values = rng.integers(low, high, (images, *tap.shape), endpoint=True).astype(dtype)
        others = rng.integers(low, high, values.shape, endpoint=True).astype(dtype)
        share = draw(st.sampled_from((0.0, 0.05, 0.5, 1.0)))
        one[tap.tap], other[tap.tap] = values, np.where(rng.random(values.shape) < share, others, values)
    return taps, one, other, draw(st.integers(1, 7)), draw(st.integers(0, 4))


@given(two_sources())
def test_counts_and_places_are_those_of_a_loop(drawn: tuple[tuple[TapShape, ...], Arrays, Arrays, int, int]) -> None:
    """Counts, distances, first and next differences are those found value by value, whatever type, shape and chunks."""
    taps, one, other, chunk, examples = drawn
    comparison = compare_arrays(one, other, taps, chunk=chunk, examples=examples)
    assert [tap.tap for tap in comparison.taps] == [tap.tap for tap in taps]
    firsts = []
    for tap, found in zip(taps, comparison.taps, strict=True):
        expected, got = one[tap.tap].tolist(), other[tap.tap].tolist()
        places = []
        for at in itertools.product(*map(range, one[tap.tap].shape)):
            a, b = expected, got
            for i in at:
                a, b = a[i], b[i]
            if a != b:
                places.append((at, a, b))
        assert (found.values, found.compared) == (one[tap.tap].size, one[tap.tap].size)
        assert found.differ == len(places)
        assert found.distance == sum(abs(a - b) for _, a, b in places)
        assert found.largest == max((abs(a - b) for _, a, b in places), default=0)
        differences = [
            Difference(image=at[0], tap=tap.tap, index=dict(zip(tap.axes, at[1:], strict=True)), expected=a, got=b)
            for at, a, b in places
        ]
        assert found.examples == tuple(differences[:examples])
        assert found.first == (differences[0] if differences else None)
        firsts += differences[:1]
    assert comparison.equal is (not firsts)
    lowest = min((first.image for first in firsts), default=None)
    assert comparison.first == next((first for first in firsts if first.image == lowest), None)


def test_first_difference_is_in_the_order_of_data() -> None:
    """The lowest image comes first, then the first tap of the graph, whatever chunk either is found in."""
    found = changed(zeros(), ("scores", (1, 0), 9), ("scores", (2, 3), 9), ("embed", (2, 0, 1), -9))
    for chunk in (1, 2, 5, 100):
        comparison = compare_arrays(zeros(), found, chunk=chunk)
        assert comparison.first == Difference(image=1, tap="scores", index={"channel": 0}, expected=0, got=9)
    comparison = compare_arrays(zeros(), changed(found, ("scores", (1, 0), 0)))
    assert comparison.first == Difference(image=2, tap="embed", index={"token": 0, "channel": 1}, expected=0, got=-9)
    assert (comparison.differ, comparison.compared, comparison.values, comparison.largest) == (2, 50, 50, 9)
    assert first_difference([]) is None


def test_distances_do_not_wrap() -> None:
    """The ends of 32-bit numbers are 2^32 - 1 apart, and the mean counts equal values too."""
    low, high = -(2**31), 2**31 - 1
    one = {"scores": np.full((1, 4), low, np.int32)}
    (tap,) = compare_arrays(one, changed(one, ("scores", (0, 2), high)), (SCORES,)).taps
    assert (tap.largest, tap.distance, tap.mean) == (2**32 - 1, 2**32 - 1, (2**32 - 1) / 4)


def test_images_go_by_in_parts() -> None:
    """Sources are asked for consecutive parts, no larger than asked for, and progress is told after each."""
    asked: list[int] = []
    told: list[tuple[int, int]] = []

    def compute(x: npt.NDArray[Any], taps: tuple[str, ...]) -> Mapping[str, npt.NDArray[Any]]:
        assert taps == ("scores",)
        asked.append(len(x))
        return {"scores": x, "embed": x}

    x = np.arange(28, dtype=np.int16).reshape(7, 4)
    source = ComputedSource("computed", ("embed", "scores"), x, compute)
    comparison = compare(
        source, ArraySource("stored", {"scores": x}), (SCORES,), chunk=3, progress=lambda *done: told.append(done)
    )
    assert comparison.equal
    assert asked == [3, 3, 1]
    assert told == [(3, 7), (6, 7), (7, 7)]


def test_large_taps_are_compared_few_images_at_once() -> None:
    """Chunks hold a bounded number of values, and one image at least."""
    sizes: list[int] = []

    def compute(x: npt.NDArray[Any], _taps: tuple[str, ...]) -> Mapping[str, npt.NDArray[Any]]:
        sizes.append(len(x))
        return {"scores": np.zeros((len(x), side), np.int8)}

    for side, expected in ((1 << 22, [2, 2, 1]), (1 << 24, [1] * 5), (4, [5])):
        sizes.clear()
        x = np.zeros((5, 1), np.int8)
        one, other = (ComputedSource(name, ("scores",), x, compute) for name in ("one", "other"))
        assert compare(one, other, (TapShape("scores", ("channel",), (side,)),)).equal
        assert sizes[::2] == expected


# --- the verdict ---


def test_nothing_compared_is_never_equal() -> None:
    """No images, no taps, too few values and too many are not equal, though nothing differs."""
    none = compare_arrays(zeros(0), zeros(0))
    assert (none.verdict, none.equal, none.compared) == (Verdict.INCOMPLETE, False, 0)
    assert counted().verdict is Verdict.INCOMPLETE
    assert counted((6, 6, 0)).verdict is Verdict.EQUAL
    for short in (counted((6, 6, 0), (6, 5, 0)), counted((6, 0, 0)), counted((0, 0, 0)), counted((6, 7, 0))):
        assert (short.verdict, short.equal, short.first) == (Verdict.INCOMPLETE, False, None)
        tap = short.taps[-1]
        assert short.reason == f"tap embed: {tap.compared} values were compared, expected {tap.values or 1}"
    assert counted((6, 6, 0)).reason is None
    assert counted().reason == "no tap was compared"
    different = counted((6, 5, 0), (6, 6, 1))
    assert (different.verdict, different.reason) == (Verdict.DIFFERENT, sentence(HERE))


def test_repeated_images_may_be_compared_again() -> None:
    """Where images may come again more values than there are is full, but fewer are not."""
    assert counted((6, 7, 0), repeats=True).equal
    assert counted((6, 5, 0), repeats=True).reason == "tap embed: 5 values were compared, expected at least 6"
    assert not counted((0, 7, 0), repeats=True).equal


def test_a_tally_that_got_too_little_is_incomplete() -> None:
    """Images that were promised and never came are missing from the count; more of them than promised are refused."""
    tally = Tally(SCORES, 3)
    part = np.zeros((2, 4), np.int8)
    tally.add(part, part)
    assert (tally.result().values, tally.result().compared, tally.result().equal) == (12, 8, False)
    with pytest.raises(ComparisonError, match="tap 'scores': 4 images came, expected 3"):
        tally.add(part, part)


@pytest.mark.parametrize(
    ("counts", "message"),
    [
        ({"compared": 5, "differ": 6, "first": HERE}, "of 6 values 5 are said to be compared and 6 to differ"),
        ({"compared": 6, "differ": -1, "first": HERE}, "and -1 to differ"),
        ({"compared": -1, "differ": 0}, "-1 are said to be compared"),
        ({"compared": 6, "differ": 1}, "1 values are said to differ, but none is named"),
        ({"compared": 6, "differ": 0, "first": HERE}, "0 values are said to differ, but one is named"),
        ({"compared": 6, "differ": 1, "first": HERE, "examples": (HERE, HERE)}, "2 differences are named of 1"),
        ({"compared": 6, "differ": 1, "first": HERE, "largest": 0}, "1 values are said to differ, by 0 at most"),
        ({"compared": 6, "differ": 0, "largest": 3}, "0 values are said to differ, by 3 at most"),
    ],
)
def test_counts_that_contradict_each_other_are_refused(counts: dict[str, Any], message: str) -> None:
    """Counts may come from a simulation of somebody's design: those that cannot be true are an error by name."""
    with pytest.raises(ComparisonError, match=f"tap 'embed': .*{message}"):
        TapComparison(**({"tap": "embed", "values": 6, "first": None} | counts))


# --- what cannot be compared ---


class Forgetful:
    """A source that says it has a tap and then does not give it."""

    name, taps, images = "forgetful", ("embed", "scores"), 5

    def values(self, part: slice, taps: tuple[str, ...]) -> Mapping[str, npt.NDArray[Any]]:
        """All taps but the last."""
        return {tap: values[part] for tap, values in zeros().items() if tap in taps[:-1]}


class Short(Forgetful):
    """A source that gives fewer images than it was asked for."""

    name = "short"

    def values(self, part: slice, taps: tuple[str, ...]) -> Mapping[str, npt.NDArray[Any]]:
        """All images but the last."""
        return {tap: values[part][:-1] for tap, values in zeros().items() if tap in taps}


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (ArraySource("other", zeros(4)), "other has 4 images, expected 5 as one has"),
        (ArraySource("other", {"embed": zeros()["embed"]}), "other has no tap 'scores'; it has: embed"),
        (ArraySource("other", zeros(5, np.int16)), "tap 'embed' is int8 in one and int16 in other, expected one type"),
        (ArraySource("other", zeros(5, np.uint8)), "tap 'embed' is int8 in one and uint8 in other"),
        (ArraySource("other", zeros(5, np.float32)), "tap 'embed' is int8 in one and float32 in other"),
        (ArraySource("other", zeros(5, np.int64)), "tap 'embed' of other is int64, expected integers of at most 32"),
        (ArraySource("other", zeros(5, np.bool_)), "tap 'embed' of other is bool, expected integers"),
        (ArraySource("other", zeros(5, np.complex64)), "tap 'embed' of other is complex64, expected integers"),
        (ArraySource("other", zeros(5, np.object_)), "tap 'embed' of other is object, expected integers"),
        (
            ArraySource("other", zeros() | {"scores": np.zeros((5, 4, 1), np.int8)}),
            r"tap 'scores' of other has shape \(5, 4, 1\), expected \(5, 4\)",
        ),
        (
            ComputedSource("other", ("embed", "scores"), np.zeros(5), lambda *_: {"embed": [0], "scores": [0]}),  # type: ignore[dict-item]  # the error to be found
            "tap 'embed' of other is a list, expected a numpy array",
        ),
        (Forgetful(), "forgetful gave no values of tap 'scores'"),
        (Short(), r"tap 'embed' of short has shape \(4, 2, 3\), expected \(5, 2, 3\)"),
    ],
)  # fmt: skip
def test_sources_that_do_not_fit_are_errors_by_name(found: Any, message: str) -> None:
    """Shapes, types, numbers of images and taps that differ are no differences of values: source and tap are named."""
    with pytest.raises(ComparisonError, match=message):
        compare(ArraySource("one", zeros()), found, TAPS)


def test_a_short_expected_source_is_an_error() -> None:
    """The source that states what is expected must give every image too."""
    with pytest.raises(ComparisonError, match=r"tap 'embed' of short has 4 images, expected 5 \(from 0 on\)"):
        compare(Short(), Short(), TAPS)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("side", ["one", "other"])
def test_values_that_are_no_numbers_are_refused(value: float, side: str) -> None:
    """A value that is not finite is refused in either source: NaN differs from itself and has no distance."""
    good, bad = zeros(5, np.float64), changed(zeros(5, np.float64), ("scores", (3, 1), value))
    with pytest.raises(ComparisonError, match=f"tap 'scores' of {side} has a value that is not finite"):
        compare_arrays(*((bad, good) if side == "one" else (good, bad)))


def test_taps_must_be_named_once() -> None:
    """No tap, one tap twice, or one source twice are errors: nothing would be compared, or less than it seems."""
    one, other = ArraySource("one", zeros()), ArraySource("other", zeros())
    with pytest.raises(ComparisonError, match="no tap was named to compare one and other at"):
        compare(one, other, ())
    with pytest.raises(ComparisonError, match="tap 'embed' was named twice"):
        compare(one, other, (EMBED, SCORES, EMBED))
    with pytest.raises(ComparisonError, match="one cannot be compared with itself"):
        compare(one, one, TAPS)


def test_arrays_must_be_of_the_same_images() -> None:
    """A stored tap of more images than the others is not left out in silence."""
    with pytest.raises(
        ComparisonError, match=r"tap 'scores' of one has shape \(6, 4\), expected 5 images as in 'embed'"
    ):
        ArraySource("one", zeros() | {"scores": np.zeros((6, 4), np.int8)})
    with pytest.raises(ComparisonError, match=r"tap 'embed' of one has shape \(\)"):
        ArraySource("one", {"embed": np.array(1)})
    with pytest.raises(ComparisonError, match="one has no taps"):
        ArraySource("one", {})
    for axes in (("channel",), ("token", "token")):
        with pytest.raises(ComparisonError, match="tap 'embed' has axes"):
            TapShape("embed", axes, (2, 3))


# --- sources ---


@pytest.fixture
def model() -> Model:
    """A small model."""
    config = ResMLPConfig(tokens=2, values=4, channels=3, hidden=5, blocks=1, classes=4)
    rng = np.random.default_rng(5)
    parameters = {
        name: rng.integers(4, 9, shape).astype(np.uint8)
        if name.endswith("shift")
        else rng.integers(-128, 128, shape).astype(np.int8)
        for name, shape in resmlp_parameters(config).items()
    }
    return Model(build_resmlp(config, parameters), "small")


def test_engines_are_sources(model: Model) -> None:
    """Two engines are compared at every tap of a model in graph order, with axes token and channel."""
    x = np.random.default_rng(1).integers(-128, 128, (9, 2, 4)).astype(np.int8)
    one, other = (engine_source(model, x, engine) for engine in ("reference", "numba"))
    comparison = compare(one, other, model_taps(model), chunk=4)
    assert (comparison.equal, comparison.expected, comparison.found) == (True, "engine reference", "engine numba")
    assert tuple(tap.tap for tap in comparison.taps) == model.graph.taps
    assert comparison.compared == 9 * sum(int(np.prod(model.graph.shapes[tap])) for tap in model.graph.taps)
    assert {tap.axes for tap in model_taps(model)} == {("token", "channel"), ("channel",)}
    assert [tap.tap for tap in model_taps(model, ("classifier", "embed"))] == ["embed", "classifier"]
    with pytest.raises(StimulusError, match="has shape"):
        engine_source(model, x[:, :1])


def test_floats_are_compared_with_integers_exactly(model: Model) -> None:
    """Integers widened to float64 equal whole floats and nothing else, and a float's own value is what was got."""
    x = np.random.default_rng(1).integers(-128, 128, (3, 2, 4)).astype(np.int8)
    floats = {tap: values.astype(np.float64) for tap, values in run(model, x, "all").items()}
    integers = FloatSource(engine_source(model, x))
    assert (integers.taps, integers.images) == (model.graph.taps, 3)
    assert compare(ArraySource("network", floats), integers, model_taps(model)).equal
    floats["pool"][1, 2] += 0.25
    comparison = compare(ArraySource("network", floats), integers, model_taps(model))
    first = comparison.first
    assert first is not None
    assert (first.tap, first.image, first.index) == ("pool", 1, {"channel": 2})
    assert isinstance(first.got, int)
    assert first.expected == first.got + 0.25
    assert comparison.largest == 0.25
    large = {"scores": np.full((1, 4), 2**31 - 1, np.int32)}
    widened = FloatSource(ArraySource("one", large)).values(slice(0, 1), ("scores",))["scores"]
    assert widened.tolist() == [[2**31 - 1] * 4]


# --- words and records ---


def test_a_sentence_says_where_and_what() -> None:
    """The sentence names image, tap and every axis in order, both values, and the cycle where there is one."""
    assert sentence(HERE) == "image 7, tap embed, token 1, channel 2: expected -3, got 4"
    clocked = msgspec.structs.replace(HERE, cycle=1234567)
    assert sentence(clocked) == "image 7, tap embed, token 1, channel 2: expected -3, got 4 (cycle 1,234,567)"
    picture = Difference(image=0, tap="conv", index={"row": 3, "column": 4, "channel": 5}, expected=1, got="x")
    assert sentence(picture) == "image 0, tap conv, row 3, column 4, channel 5: expected 1, got x"
    words = sentence(HERE, tap="", expected="the network has", got="the model")
    assert words == "image 7, token 1, channel 2: the network has -3, the model 4"
    assert sentence(HERE, tap="embed") == "image 7, embed, token 1, channel 2: expected -3, got 4"
    assert place(3, {}) == "image 3"
    output = Difference(image=2, tap="m_axis", carries="classifier", index={"channel": 1}, expected=1, got=2)
    assert sentence(output) == "image 2, tap classifier at m_axis, channel 1: expected 1, got 2"


def test_a_difference_is_a_record() -> None:
    """As JSON it has the index by axis, and token and channel beside it, null where there is no such axis."""
    clocked = Difference(image=1, tap="pool", index={"channel": 2}, expected=3, got=4, cycle=5)
    data = msgspec.to_builtins(clocked)
    assert data == {
        "image": 1, "tap": "pool", "token": None, "channel": 2, "expected": 3, "got": 4, "cycle": 5,
        "index": {"channel": 2}, "carries": None,
    }  # fmt: skip
    assert msgspec.convert(data, Difference) == clocked
    # What is given for them never contradicts the index.
    assert msgspec.convert(data | {"token": 9, "channel": 9}, Difference) == clocked
    tap = TapComparison(tap="pool", values=8, compared=8, differ=1, first=clocked, largest=1, distance=1)
    assert msgspec.json.decode(msgspec.json.encode(tap), type=TapComparison) == tap


@pytest.mark.parametrize("mask", [True, [False, True, False]])
def test_masked_arrays_are_refused(mask: Any) -> None:
    """An array that hides values equals nothing: it is refused by name, whatever it hides."""
    one = np.array([[1, 2, 3]], np.int8)
    other = np.ma.masked_array(one + np.int8(5), mask=[mask] if mask is not True else True)
    with pytest.raises(ComparisonError, match="is a MaskedArray, expected a numpy array"):
        compare(ArraySource("a", {"t": one}), ArraySource("b", {"t": other}), [TapShape("t", ("channel",), (3,))])


def test_an_engine_is_not_compared_with_itself() -> None:
    """Two sources of one engine, though `auto` came to it on its own, are refused; another engine is compared."""
    wide = Relu()
    graph = Graph(Tensor(("token", "channel"), (2, 3), Number(12)), (Node("a", wide, (INPUT,)),))
    model, x = Model(graph, "wide"), np.zeros((1, 2, 3), np.int16)
    for engine in ("auto", "reference"):
        with pytest.raises(ComparisonError, match="cannot be compared with itself"):
            compare(engine_source(model, x, "reference"), engine_source(model, x, engine), model_taps(model))
