"""What is shown of a fault: the arithmetic of one value, worked out by hand, and a page that needs nothing else."""

import base64
import io
import re
from html import escape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from msgspec import structs

from fxsim.cli.diff import command
from fxsim.compare.four_state import FourState
from fxsim.contract import TableRule
from fxsim.explain import locate
from fxsim.explain.inject.faulty import faulty
from fxsim.explain.page.write import render
from fxsim.explain.result import told
from fxsim.explain.run import diff_located
from fxsim.explain.steps import hidden_steps, steps_of
from fxsim.explain.telling import Teller
from fxsim.formats import save
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Add, Affine, Axis, Linear, Lut, Operator, Pool, Relu
from tests.test_telling import faulty as rounded
from tests.test_telling import images, scaled

TABLE = np.array([[0, 10, 20, 33]], np.int8)
"""Four points: segments of 64 codes."""


def linear(over: Axis = Axis.CHANNELS) -> Linear:
    """Two inputs, one output: 5 x - 4 y, halved, plus 10."""
    return Linear(np.array([[5, -4]], np.int8), np.array([10], np.int8), np.array([1], np.uint8), over)


def steps(op: Operator, values: list[list[int]], wrong: int, inputs: int = 1) -> dict[str, str]:
    """The steps of an operator whose first result is `wrong`."""
    x = np.array([values], np.int8)
    model = Model(Graph(x.shape[1:], (Node("op", op, (INPUT,) * inputs),)), "one")
    right = locate(model, x, {"op": np.zeros((1, *model.graph.shapes["op"]), np.int8)}).again("op")
    assert right is not None
    trace = right.copy()
    trace.reshape(-1)[0] = wrong
    found = steps_of(locate(model, x, {"op": trace}), "op")
    return {step.name: step.text for step in found}


def test_a_sum_is_written_out() -> None:
    """5 * 3 - 4 * 2 = 7; half of it is a tie."""
    for over, values in ((Axis.CHANNELS, [[3, 2]]), (Axis.TOKENS, [[3], [2]])):
        assert steps(linear(over), values, 13) == {
            "sum": "3*5 + 2*-4 = 7",
            "shift": "7 / 2^1 = 3, rest 1 of 2: a tie",
            "round": "half up: 4",
            "bias": "4 + 10 = 14",
            "limit": "-128 to 127: 14",
            "came": "13 in place of 14: -1",
            "so": "less the bias 10 it is 3, where 4 should be",
        }
    affine = Affine(np.array([100], np.int8), np.array([-3], np.int8), np.array([2], np.uint8))
    found = steps(affine, [[-7]], 78)
    assert found["sum"] == "-7*100 = -700"
    assert found["shift"] == "-700 / 2^2 = -175, rest 0 of 4: below one half"
    assert found["limit"] == "-128 to 127: -128, from -178"
    assert found["so"] == "less the bias -3 it is 81, where -175 should be"


@pytest.mark.parametrize(
    ("op", "values", "wrong", "expected"),
    [
        (
            Lut(TABLE, TableRule.HOLD),
            [[-60]],
            11,
            {
                "index": "-60 is code 68: segment 1, fraction 4 of 64",
                "points": "10 and 20",
                "between": "(20 - 10) * 4 / 64 = 40 / 64, half up: 1",
                "sum": "10 + 1 = 11",
            },
        ),
        (
            Lut(TABLE, TableRule.CLAMP),
            [[127]],
            33,
            {
                "index": "127 is code 255: segment 3, by the rule clamp 2, fraction 63 of 64",
                "points": "20 and 33",
                "between": "(33 - 20) * 63 / 64 = 819 / 64, half up: 13",
                "sum": "20 + 13 = 33",
            },
        ),
        (Relu(), [[-5]], -5, {"rectify": "max(-5, 0) = 0", "came": "-5 in place of 0: -5"}),
        (
            Pool(2),
            [[1], [2]],
            1,
            {"sum": "2 tokens: 3", "shift": "3 / 2 = 1, a tie", "round": "half up: 2", "came": "1 in place of 2: -1"},
        ),
    ],
)
def test_other_operators_are_written_out(
    op: Operator, values: list[list[int]], wrong: int, expected: dict[str, str]
) -> None:
    """Tables, rectifiers and averages."""
    found = steps(op, values, wrong + 1 if isinstance(op, Lut) else wrong)
    assert {name: found[name] for name in expected} == expected


def test_a_sum_of_two_is_written_out() -> None:
    """127 and 1 are limited; the trace wrapped."""
    x = np.array([[[127, 1]]], np.int8)
    picks = [
        Node(name, Linear(np.array([w], np.int8), np.zeros(1, np.int8), np.zeros(1, np.uint8)), (INPUT,))
        for name, w in (("a", [1, 0]), ("b", [0, 1]))
    ]
    model = Model(Graph((1, 2), (*picks, Node("add", Add(), ("a", "b")))), "sum")
    located = locate(model, x, {"add": np.array([[[-128]]])})
    assert [tuple(step) for step in steps_of(located, "add")] == [
        ("sum", "127 + 1 = 128"),
        ("limit", "-128 to 127: 127, from 128"),
        ("came", "-128 in place of 127: -255"),
        ("so", "at most -128 before the limits, where 128 should be"),
    ]


class Reader(HTMLParser):
    """Tags that are open, texts, and everything that would be fetched."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []
        self.fetched: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Open a tag."""
        if tag not in ("meta", "br"):
            self.open.append(tag)
        self.fetched += [v for k, v in attrs if k in ("src", "href", "xlink:href") and v and v[:1] != "#"]

    def handle_endtag(self, tag: str) -> None:
        """Close it."""
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Both at once."""
        assert tag != "script"
        self.fetched += [v for k, v in attrs if k in ("src", "href", "xlink:href") and v and v[:1] != "#"]

    def handle_data(self, data: str) -> None:
        """Text."""
        self.texts.append(data)


def network() -> tuple[Model, np.ndarray, dict[str, np.ndarray]]:
    """Three nodes with a name from a file: a linear, its table, and a rectifier; and a trace with a fault in each."""
    rng = np.random.default_rng(4)
    w = rng.integers(-128, 128, (5, 6)).astype(np.int8)
    op = Linear(w, np.arange(5, dtype=np.int8), np.full(5, 8, np.uint8))
    table = Lut(rng.integers(-128, 128, (5, 16)).astype(np.int8), TableRule.CLAMP)
    nodes = (Node("fc", op, (INPUT,)), Node("act", table, ("fc",)), Node("last", Relu(), ("act",)))
    model = Model(Graph((4, 6), nodes), "</title><script>alert(1)</script>")
    x = rng.integers(-128, 128, (6, 4, 6)).astype(np.int8)
    fc = np.clip((x.astype(np.int64) @ w.T.astype(np.int64) >> 8) + np.arange(5), -128, 127)
    act = locate(model, x, {"fc": fc}).again("act")
    assert act is not None
    act[:, 2, 3] += 1
    return model, x, {"fc": fc, "act": act, "last": np.maximum(act, 0)}


@pytest.mark.slow
def test_the_page_needs_nothing_and_says_everything() -> None:
    """Well-formed, names escaped, nothing fetched; each fault with its arithmetic and pictures."""
    model, x, trace = network()
    found, located = diff_located(model, x, trace)
    text = render(found, located)
    reader = Reader()
    reader.feed(text)
    assert reader.open == []
    assert "<script" not in text
    assert {link.split(";")[0] for link in reader.fetched} <= {"data:image/png"}
    assert not re.search(r"@import|url\((?!#)|https?://(?!www\.w3\.org/)", re.sub("<svg.*?>", "", text))
    shown = " ".join(reader.texts)
    assert "fc: rounding_floor" in shown
    assert "act: unexplained" in shown
    for step in (*steps_of(located, "fc"), *steps_of(located, "act")):
        assert step.text in shown
    # Three pictures of a table, two of a linear; a state for each tap.
    assert text.count('<div class="picture">') == 5
    assert re.findall(r'<circle class="(\w+)"', text) == ["equal", "fault", "fault", "inherited"]
    # Identifiers are those of one picture.
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))


def test_the_page_of_an_equal_trace_and_of_unknown_bits() -> None:
    """No fault, no pictures; an unknown value has a place on the map and no arithmetic."""
    model, x, trace = network()
    right = locate(model, x, trace).expected
    found, located = diff_located(model, x, dict(right))
    assert "picture" not in render(found, located).split("</style>")[1]
    unknown = np.zeros(right["fc"].shape, np.uint32)
    unknown[0, 0, 0] = 1
    found, located = diff_located(model, x, {"fc": FourState(right["fc"], unknown, 8), "last": right["last"]})
    text = render(found, located)
    assert "unknown_bits" in text
    assert text.count('<div class="picture">') == 1
    assert steps_of(located, "fc") == ()


@pytest.mark.slow
def test_a_rule_behind_a_tap_is_shown_at_its_own_node() -> None:
    """A table that the trace does not have, rounded down: named, red in the graph, with its arithmetic."""
    model, x, _ = network()
    rng = np.random.default_rng(0)
    fc, act, last = model.graph.nodes
    sums = faulty(fc, [x.astype(np.int64)], {}, rng)
    table = faulty(act, [sums], {"rounding": "floor"}, rng)
    trace = {"fc": sums, "last": faulty(last, [table], {}, rng)}
    found, located = diff_located(model, x, trace)
    (fault,) = found.faults
    assert (fault.tap, fault.label, fault.node) == ("last", "rounding_floor", "act")
    hidden = hidden_steps(located, fault)
    assert hidden is not None
    place = (hidden.first.image, *hidden.first.index.values())
    right = faulty(act, [sums], {}, rng)
    assert (hidden.first.expected, hidden.first.got) == (right[place], table[place])
    assert {step.name: step.text for step in hidden.steps}["came"].startswith(
        f"{table[place]} in place of {right[place]}"
    )
    text = render(found, located)
    assert "<h2>last: rounding_floor at act</h2>" in text
    assert re.findall(r'<circle class="(\w+)"', text) == ["equal", "equal", "fault", "fault"]
    assert "rounding_floor, not in the trace" in text
    assert all(escape(step.text) in text for step in hidden.steps)
    # A fault of the tap's own has nothing behind it.
    assert hidden_steps(located, structs.replace(fault, node="last")) is None


@pytest.mark.slow
def test_the_page_holds_the_inputs_that_tell_apart() -> None:
    """Where rules fit alike, the page says so, and has the input as a file: with it they differ as it says."""
    # Ties at 2.5 and 4.5 alone.
    model, x, teller = scaled(1, 2), images([10, 18, 3, -5, 8]), Teller()
    found, located = diff_located(model, x, {"fc": rounded(x, 1, 2, round)}, teller=teller)
    (fault,) = found.faults
    assert fault.telling
    reader = Reader()
    reader.feed(render(found, located, teller))
    files = [
        np.load(io.BytesIO(base64.b64decode(link.partition(",")[2]))) for link in reader.fetched if "octet" in link
    ]
    assert len(files) == sum(telling.same is False for telling in fault.telling) > 0
    for telling, image in zip((t for t in fault.telling if t.same is False), files, strict=True):
        assert image.shape == (1, *model.graph.input_shape)
        assert np.array_equal(image[0], teller.images[telling.row or 0])
        assert any(told(telling) in words for words in reader.texts)
    assert "octet" not in render(found, located)


@pytest.mark.slow
def test_command(tmp_path: Path) -> None:
    """`--page` writes it; the terminal has the arithmetic."""
    model, x, trace = network()
    save(model, tmp_path / "m.safetensors")
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "t.npz", **{tap: values.astype(np.int16) for tap, values in trace.items()})
    words = [str(tmp_path / "m.safetensors"), "--input", str(tmp_path / "x.npy"), "--trace", str(tmp_path / "t.npz")]
    done = CliRunner().invoke(command, [*words, "--page", str(tmp_path / "p.html")])
    assert done.exit_code == 1, done.output
    assert "    round: half up: " in done.output
    assert (tmp_path / "p.html").read_text().startswith("<!DOCTYPE html>")
    lost = CliRunner().invoke(command, [*words, "--page", str(tmp_path / "none" / "p.html")])
    assert "there is no folder" in str(lost.exception)
