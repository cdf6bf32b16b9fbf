"""Orders with tiles, and memory files at addresses: expectations are written out by hand."""

from pathlib import Path

import numpy as np
import pytest

from fxsim.contract import Tensor
from fxsim.devices.described.description import Memory, Packing
from fxsim.devices.described.memory import joined, memory_text
from fxsim.devices.described.packing import make_beats
from fxsim.errors import FileError
from fxsim.graph import INPUT, Graph, Model, Node
from fxsim.operators import Linear

HERE = Path("d.toml")


@pytest.mark.parametrize(
    ("order", "lanes", "beats"),
    [
        (("token", "channel/2", "channel%2"), 4, [[0, 1, 2, 3], [4, 5, 6, 7]]),
        (("channel/2", "token", "channel%2"), 4, [[0, 1, 4, 5], [2, 3, 6, 7]]),
        (("channel%2", "token", "channel/2"), 4, [[0, 2, 4, 6], [1, 3, 5, 7]]),
        (("-channel/2", "token", "-channel%2"), 4, [[3, 2, 7, 6], [1, 0, 5, 4]]),
    ],
)
def test_tiles_lie_in_beats_as_stated(order: tuple[str, ...], lanes: int, beats: list[list[int]]) -> None:
    """Two tokens of four channels in tiles of two."""
    packing = Packing(order=order, lanes=lanes)
    assert make_beats(packing, Tensor(("token", "channel"), (2, 4)), "stream").places.tolist() == beats


@pytest.mark.parametrize(
    ("order", "words"),
    [
        (("token", "channel/2"), "expected each of token, channel once, or in tiles"),
        (("token", "channel", "channel%2"), "expected each of token, channel once"),
        (("token", "channel/3", "channel%3"), "tiles of 3 of axis channel, expected one number that divides 4"),
        (("token", "channel/2", "channel%4"), "tiles of 2 and 4 of axis channel"),
        (("token", "channel/0", "channel%0"), "expected each of"),
        (("token", "channel*2"), "expected each of"),
    ],
)
def test_tiles_that_do_not_fit_are_refused(order: tuple[str, ...], words: str) -> None:
    """One part alone, both and the whole, a number that does not divide, two numbers, none."""
    with pytest.raises(FileError, match=words):
        make_beats(Packing(order=order), Tensor(("token", "channel"), (2, 4)), "stream")


def network() -> Model:
    """A linear whose weights are 0x10 for the first value of the first channel, 0x23 for the last of the third."""
    weight = np.array([[0x10, 0x11, 0x12, 0x13], [0x20, 0x21, 0x22, 0x23]], np.int8)
    linear = Linear(weight, np.array([-1, 2], np.int8), np.full(2, 8, np.uint8))
    return Model(Graph((1, 4), (Node("fc", linear, (INPUT,)),)), "m")


@pytest.mark.parametrize(
    ("memory", "text"),
    [
        (Memory(file="w", tensor="fc.weight", lanes=2), "1110\n1312\n2120\n2322\n"),
        (Memory(file="w", tensor="fc.weight", lanes=2, order=("in", "out")), "2010\n2111\n2212\n2313\n"),
        (
            Memory(file="w", tensor="fc.weight", word="row", order=("in", "-out"), first="high"),
            "2010\n2111\n2212\n2313\n",
        ),
        (
            Memory(file="w", tensor="fc.weight", lanes=4, order=("in/2", "out", "in%2"), address=0x20),
            "@20\n21201110\n23221312\n",
        ),
        (Memory(file="b", tensor="fc.bias", bits=16, address=0), "@0\nffff\n0002\n"),
    ],
)
def test_memory_files_hold_words_in_order_at_addresses(memory: Memory, text: str) -> None:
    """Values a word, transposed, in tiles of columns, behind an address."""
    assert memory_text(HERE, memory, network()) == text


@pytest.mark.parametrize(
    ("memory", "words"),
    [
        (Memory(file="w", tensor="fc.weight", lanes=3), "has 8 values, which words of 3 do not divide"),
        (Memory(file="w", tensor="fc.weight", order=("in",)), "expected each of out, in once"),
        (Memory(file="w", tensor="fc.weight", order=("in/3", "in%3", "out")), "divides 4"),
    ],
)
def test_memory_that_does_not_fit_is_refused(memory: Memory, words: str) -> None:
    """Words that the values do not fill, an axis that is missing, tiles that do not divide."""
    with pytest.raises(FileError, match=f"memory 'w': .*{words}"):
        memory_text(HERE, memory, network())


def test_entries_share_a_file_where_each_has_its_address() -> None:
    """Weights and biases in one image; without an address, or with words at the same one, refused."""
    weights = Memory(file="m", tensor="fc.weight", lanes=4, address=0)
    bias = Memory(file="m", tensor="fc.bias", address=2)
    first, second = memory_text(HERE, weights, network()), memory_text(HERE, bias, network())
    assert joined(HERE, bias, second, first) == "@0\n13121110\n23222120\n@2\nff\n02\n"
    with pytest.raises(FileError, match="two entries have a word at address 1"):
        joined(HERE, bias, second.replace("@2", "@1"), first)
    with pytest.raises(FileError, match="is described twice, expected an address in each"):
        joined(HERE, bias, second.removeprefix("@2\n"), first)
