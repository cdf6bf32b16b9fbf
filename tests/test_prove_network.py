"""Networks of what is proved of modules: which stand still, by hand-made ones of which it is plain."""

import numpy as np
import pytest

from fxsim.prove.network import Network, Part, Runner, due, stands


@pytest.mark.parametrize(("rows", "columns"), [(2, 3), (3, 2), (4, 5), (5, 4), (2, 2)])
def test_outputs_of_a_transpose_are_those_whose_elements_were_taken(rows: int, columns: int) -> None:
    """By the elements themselves, over two images."""
    part = Part("t", "transpose", {"ROWS": rows, "COLS": columns}, {"s_axis": 0}, {"m_axis": 1})
    size = rows * columns
    leaves = np.arange(size).reshape(rows, columns).T.ravel()
    every = np.concatenate([leaves, size + leaves])
    for taken in range(2 * size + 1):
        missing = np.flatnonzero(every >= taken)
        expected = int(missing[0]) if len(missing) else 2 * size
        assert due(part, "m_axis", {"s_axis": taken}) == expected


def joined(depth: int, inputs: int, outputs: int | None = None) -> Network:
    """A fork, of which one side goes through a FIFO and the other through a linear, and a sum of both."""
    parts = (
        Part("fork", "axis_fork", {}, {"s_axis": 0}, {"m0_axis": 1, "m1_axis": 2}),
        Part("fifo", "axis_fifo", {"DEPTH": depth}, {"s_axis": 1}, {"m_axis": 3}),
        Part("linear", "linear", {"IN": inputs, "OUT": outputs or inputs}, {"s_axis": 2}, {"m_axis": 4}),
        Part("add", "add", {}, {"s0_axis": 3, "s1_axis": 4}, {"m_axis": 5}),
    )
    return Network(parts, ("x", "skip", "row", "skipped", "sums", "y"), 0, 5)


@pytest.mark.parametrize(("depth", "inputs", "goes_on"), [(3, 4, True), (5, 4, True), (2, 4, False), (1, 1, True)])
def test_a_fifo_must_hold_what_the_other_way_collects(depth: int, inputs: int, goes_on: bool) -> None:
    """A row has to be there before its first sum: all but its last value wait beside it, which waits at the fork."""
    found = stands(joined(depth, inputs), 3 * inputs, 7)
    assert (found.proved, found.streams, found.cycles) == (goes_on, 6, 7)
    if goes_on:
        assert found.transfers == 4 * 3 * inputs
    else:
        # The FIFO is full, and the linear lacks a value of its row: it has had the one that waits at the fork.
        assert "'x' took 2" in found.why
        assert "'fifo' (axis_fifo) took s_axis 2 and gave m_axis 0" in found.why
        assert "'linear' (linear) took s_axis 3 and gave m_axis 0" in found.why


def test_every_order_comes_to_the_same_end() -> None:
    """The network is persistent: another order of passing lets as many values pass, to the end or to the same stop."""
    for depth in (2, 3):
        one, other = Runner(joined(depth, 4), 12), Runner(joined(depth, 4), 12)
        assert one.run() == other.run(backwards=True)
        assert one.sent == other.sent


def test_what_does_not_come_out_even_is_no_end() -> None:
    """A row that is begun and not ended, or outputs that nobody matches, are named."""
    assert "'linear' (linear) took s_axis 6" in stands(joined(6, 4), 6, 1).why
    assert "'linear' (linear) took s_axis 4 and gave m_axis 4" in stands(joined(4, 4, 5), 4, 1).why
    strange = joined(4, 4)
    strange = strange._replace(parts=(*strange.parts, Part("core", "simd_core", {}, {}, {})))
    assert stands(strange, 4, 1).why == "it is not said when 'simd_core' takes and gives"
