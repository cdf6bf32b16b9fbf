"""Quantisers whose steps are learnt, both with steps of 2^k: uniform (LSQ), and with learnt positions (LLT).

**LSQ** (Esser et al., Learned Step Size Quantization, ICLR 2020): code = round(v / s), clamped; s is trained. Here
s = 2^round(t) and t is trained, the rounding's gradient passing straight through, so that every rescaling is a shift.

**LLT** (after Wang et al., Learnable Lookup Table for Neural Network Quantization, CVPR 2022): a fine grid of 9 cells a
level, i = floor(9 v / s + 1/2), clamped; a table says which level each cell has. Of the 9 cells between two levels the
level goes up in one, which is trained; levels stay uniform. So the code is low + #{k : i >= 9 (low + k) + 1 + p[k]}, a
multi-threshold: of integers acc with v / s = acc / 2^shift + bias, i >= t where 18 (acc + bias 2^shift) >=
(2 t - 1) 2^shift.
"""

import torch
import torch.nn.functional as F  # noqa: N812  # torch's own convention
from torch import Tensor, nn

from fxsim.contract.arithmetic import Int64
from fxsim.networks.ops import straight_through
from fxsim.networks.quantised import learnt_step

CELLS = 9
"""Cells of the fine grid from one level to the next, as LLT's authors' code has."""
_MIDDLE = CELLS // 2
"""The cell in which rounding to the nearest goes up."""
_AHEAD = 0.05
"""By how much the middle cell is ahead at the beginning: rounding to the nearest, which little changes."""


class LearntLevels(nn.Module):
    """The table of LLT for codes `low` to `high`: for each step between two levels, the score of each of its cells."""

    def __init__(self, low: int, high: int) -> None:
        super().__init__()
        self.low, self.high = low, high
        self.cells = nn.Parameter(_AHEAD * F.one_hot(torch.full((high - low,), _MIDDLE), CELLS).float())

    def forward(self, v: Tensor, step: Tensor, values: int) -> Tensor:
        """`v` as codes times `step`, float32; gradients of v and step as LSQ's, of cells by their softmax.

        `values`: how many share the step.
        """
        table = self._table()
        codes = self.low + table[self._index(v.detach() / step.detach())]
        # The value is the table's; v and the step have the gradients of rounding it there.
        like = learnt_step(v, step, values, self.low, self.high)
        return like + (codes * step.detach() - like.detach())

    def codes(self, v: Tensor) -> Tensor:
        """Codes of `v`, in steps; of the same type."""
        hard = self._hard().to(v.dtype)
        return self.low + hard[self._index(v)]

    def positions(self) -> Int64:
        """The cell, of the fine grid from 9 low on, in which each level begins: int64 [high - low]."""
        first = CELLS * torch.arange(self.low, self.high) + 1
        found: Int64 = (first + self.cells.detach().cpu().argmax(dim=1)).numpy()
        return found

    def _index(self, v: Tensor) -> Tensor:
        cell = torch.floor(CELLS * v + 0.5).clamp(CELLS * self.low, CELLS * self.high)
        return (cell - CELLS * self.low).long()

    def _hard(self) -> Tensor:
        """Levels above the lowest, of every cell of the fine grid."""
        reached = torch.arange(CELLS, device=self.cells.device) >= self.cells.detach().argmax(dim=1)[:, None]
        below = torch.arange(len(self.cells), device=self.cells.device)[:, None]
        return F.pad((below + reached).flatten().float(), (1, 0))

    def _table(self) -> Tensor:
        soft = F.softmax(self.cells, dim=1).cumsum(dim=1).flatten()
        return straight_through(F.pad(soft, (1, 0)), self._hard())


def limits_of(positions: Int64, shift: int, bias: int) -> list[int]:
    """The least integer acc at which each position is reached: acc / 2^shift + bias is v / s.

    i >= t is 9 v / s + 1/2 >= t, and so acc >= ((2 t - 1) 2^shift) / 18 - bias 2^shift.
    """
    scale = 1 << shift
    return [-((-(2 * int(t) - 1) * scale) // (2 * CELLS)) - bias * scale for t in positions]
