"""The learnable activations against their definitions written out, finite differences, and one path against another."""

import math
import os
from collections.abc import Callable, Iterator
from fractions import Fraction
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from fxsim.errors import ModelError
from fxsim.networks import lerp as lerp_module
from fxsim.networks import lerp_kernels
from fxsim.networks.b_spline import BSpline
from fxsim.networks.lerp import lerp
from fxsim.networks.psa import PSA, LerpPSA
from tests.conftest import SEED

Float64 = npt.NDArray[np.float64]
DTYPES = (torch.float32, torch.float64)


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    """Every test draws the same numbers, whichever ran before it; the state of PyTorch's generator is given back."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        yield


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's operations, as on any device that is not a CPU."""
    monkeypatch.setattr(lerp_module, "_has_kernels", lambda _: False)


def psa_by_definition(x: float, c: Float64, q: Float64, v: Float64, w: float, b: float, eps: float) -> float:
    """PSA of one value of one channel, written out."""
    scores = [(x - float(c[j])) ** 2 / (float(q[j]) ** 2 + eps) for j in range(len(c))]
    weights = [math.exp(-score) for score in scores]
    total = sum(weights)
    return w * sum(weight / total * float(v[j]) * x for j, weight in enumerate(weights)) + b


def lerp_by_definition(x: float, grid: list[float], limit: float) -> Fraction:
    """The interpolated value, exactly."""
    points = len(grid)
    position = (Fraction(x) + Fraction(limit)) * (points - 1) / (2 * Fraction(limit))
    segment = min(max(math.floor(position), 0), points - 2)
    f = position - segment
    return (1 - f) * Fraction(grid[segment]) + f * Fraction(grid[segment + 1])


def random_psa(channels: int, kind: type[PSA] = PSA, **settings: object) -> PSA:
    """With no parameter at its initial value."""
    psa = kind(channels, **settings).double()  # type: ignore[arg-type]
    with torch.no_grad():
        for parameter in psa.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    return psa


def gradients(function: Callable[[Tensor], Tensor], module: nn.Module, x: Tensor, weight: Tensor) -> list[Tensor]:
    """The output and the gradients of sum(weight * output) to x and to every parameter."""
    x = x.detach().clone().requires_grad_()
    y = function(x)
    return [y.detach(), *torch.autograd.grad(y, (x, *module.parameters()), weight)]


# --- PSA ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize(("channels", "centres", "eps"), [(1, 1, 1.0), (3, 8, 1.0), (2, 5, 0.25)])
def test_psa_is_its_definition(channels: int, centres: int, eps: float, residual: bool) -> None:
    """PSA gives what its formula, written out for one value in plain Python, gives."""
    psa = random_psa(channels, centres=centres, eps=eps, residual=residual)
    x = torch.randn(4, 3, channels, dtype=torch.float64) * 3
    y = psa(x)
    c, q, v, w, b = (parameter.detach().numpy() for parameter in psa.parameters())
    for place in np.ndindex(4, 3, channels):
        k = place[-1]
        value = x[place].item()
        expected = psa_by_definition(value, c[k], q[k], v[k], w[k], b[k], eps) + residual * value
        assert y[place].item() == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("kind", [PSA, LerpPSA])
def test_psa_does_not_depend_on_the_order_of_its_centres(kind: type[PSA]) -> None:
    """Centres permuted together with their widths and values give the same function."""
    psa = random_psa(4, kind)
    x = torch.randn(50, 4, dtype=torch.float64) * 3
    before = psa(x)
    order = torch.randperm(8)
    with torch.no_grad():
        for parameter in (psa.centres, psa.widths, psa.values):
            parameter.copy_(parameter[:, order])
    # Not equal bit for bit: sums are taken in another order.
    torch.testing.assert_close(psa(x), before, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("kind", [PSA, LerpPSA])
def test_residual_adds_the_input(kind: type[PSA]) -> None:
    """The same parameters with and without the residual differ by x, also outside the grid."""
    with_it, without = kind(3, residual=True).double(), kind(3, residual=False).double()
    without.load_state_dict(with_it.state_dict())
    x = torch.randn(100, 3, dtype=torch.float64) * 4
    torch.testing.assert_close(with_it(x) - without(x), x, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("residual", [False, True])
def test_psa_gradients(residual: bool) -> None:
    """PSA's gradients to its input and all parameters are those of finite differences."""
    psa = random_psa(3, residual=residual)
    x = (torch.randn(2, 4, 3, dtype=torch.float64) * 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, *_: psa(x), (x, *psa.parameters()))


def test_initialisations() -> None:
    """Each start draws its parameters from the distribution stated: mean, deviation, bounds."""
    n = 4000
    for start, residual, reach, deviation in (
        ("distilled", True, 1.0, 4.0),
        ("distilled", False, 1.0, 4.0),
        ("scratch", True, 3.0, math.sqrt(2 / 9)),
        ("scratch", False, 3.0, math.sqrt(2 / 9)),
    ):
        psa = PSA(n, residual=residual, initialisation=start)
        assert psa.centres.abs().max().item() <= reach
        assert psa.centres.std().item() == pytest.approx(reach / math.sqrt(3), rel=0.02)
        assert psa.values.std().item() == pytest.approx(deviation, rel=0.02)
        assert abs(psa.values.mean().item()) < 0.05 * deviation
        bounded = psa.values.abs().max().item() <= deviation * math.sqrt(3) * 1.000001
        assert bounded == (start == "scratch" and not residual)
        assert all((p == value).all() for p, value in ((psa.widths, 1), (psa.output_weight, 1), (psa.output_bias, 0)))
    torch.manual_seed(5)
    first = LerpPSA(3).state_dict()
    torch.manual_seed(5)
    assert all(torch.equal(value, first[name]) for name, value in PSA(3).state_dict().items())


# --- The interpolation ----------------------------------------------------------------------------------------------


@given(
    st.integers(2, 9),
    st.floats(0.1, 100),
    st.data(),
)
@settings(max_examples=200)
def test_lerp_is_its_definition(points: int, limit: float, data: st.DataObject) -> None:
    """Interpolation in float64 is within rounding of the exact rational value, inside and outside the grid."""
    values = st.floats(-100, 100, allow_subnormal=False)
    grid = data.draw(st.lists(values, min_size=points, max_size=points))
    x = data.draw(st.floats(-3 * limit, 3 * limit))
    got = lerp(torch.tensor([x], dtype=torch.float64), torch.tensor([grid], dtype=torch.float64), limit).item()
    # The position is off by a few units in its last place, of which the steepest segment makes at most `steepest`.
    steepest = max(abs(b - a) for a, b in pairwise(grid))
    error = 2.0**-52 * (3 * 3 * points * steepest + 4 * max(map(abs, grid)) + 4 * abs(got))
    assert abs(Fraction(got) - lerp_by_definition(x, grid, limit)) <= error


@pytest.mark.parametrize("dtype", DTYPES)
def test_lerp_at_the_grid_points_is_the_direct_form(dtype: torch.dtype) -> None:
    """Where grid points are floats (spaced by a power of two) the interpolated PSA equals the direct one there."""
    psa = LerpPSA(5, points=65).to(dtype)
    x = torch.linspace(-4, 4, 65, dtype=dtype).unsqueeze(1).expand(-1, 5)
    assert torch.equal(psa(x), psa.direct(x))


def test_lerp_tends_to_the_direct_form() -> None:
    """The error falls as the square of the grid's spacing: halving it divides the error by four."""
    psa = random_psa(6, LerpPSA)
    x = torch.rand(2000, 6, dtype=torch.float64) * 8 - 4
    errors = []
    for points in (257, 513, 1025, 2049):
        psa.points = points
        errors.append((psa(x) - psa.direct(x)).abs().max().item())
    orders = [math.log2(a / b) for a, b in pairwise(errors)]
    assert all(1.9 < order < 2.1 for order in orders), (errors, orders)


def test_lerp_is_continuous_at_the_grid_points() -> None:
    """The neighbours of a grid point on either side have values within a rounding of its own, which is the grid's."""
    grid = torch.randn(1, 17, dtype=torch.float64)
    knots = torch.linspace(-2, 2, 17, dtype=torch.float64)
    for x in (knots, knots.nextafter(torch.tensor(-9.0).double()), knots.nextafter(torch.tensor(9.0).double())):
        torch.testing.assert_close(lerp(x.unsqueeze(1), grid, 2.0).squeeze(1), grid[0], rtol=0, atol=1e-14)
    assert torch.equal(lerp(knots.unsqueeze(1), grid, 2.0).squeeze(1), grid[0])


def test_lerp_goes_on_linearly_outside() -> None:
    """Beyond each end the value follows the line through the outer two grid points."""
    grid = torch.tensor([[1.0, 3.0, 2.0, 2.5]], dtype=torch.float64)
    x = torch.tensor([[-3.0], [-7.5], [-1e6], [3.0], [4.5], [1e6]], dtype=torch.float64)
    spacing, limit = 1.0, 1.5
    expected = torch.where(x < 0, 1.0 + (x + limit) * 2.0 / spacing, 2.5 + (x - limit) * 0.5 / spacing)
    torch.testing.assert_close(lerp(x, grid, limit), expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("path", ["kernels", "plain"])
def test_lerp_gradients(path: str, recompute: bool, request: pytest.FixtureRequest) -> None:
    """Gradients to input and parameters are those of finite differences, inside and outside the grid, on every path."""
    if path == "plain":
        request.getfixturevalue("plain")
    psa = random_psa(3, LerpPSA, points=20, limit=2.0, recompute=recompute)
    # In the middle of segments and beyond both ends: at the knots there is no derivative.
    spacing = 4 / 19
    x = (-2 + spacing * (torch.randint(-5, 24, (3, 4, 3)).double() + 0.5)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, *_: psa(x), (x, *psa.parameters()))


def test_lerp_gradients_tend_to_those_of_the_direct_form() -> None:
    """As the grid gets finer, gradients approach the direct form's; to the bias both are the same."""
    psa = random_psa(4, LerpPSA)
    x = torch.rand(300, 4, dtype=torch.float64) * 7.9 - 3.95
    weight = torch.randn_like(x)
    direct = gradients(psa.direct, psa, x, weight)
    errors = []
    for points in (512, 4096, 32768):
        psa.points = points
        got = gradients(psa, psa, x, weight)
        errors.append([float((a - b).abs().max() / b.abs().max()) for a, b in zip(got, direct, strict=True)])
    assert [name for name, _ in psa.named_parameters()][-1] == "output_bias"
    assert max(error[-1] for error in errors) < 1e-14
    for coarse, middle, fine in zip(*(error[:-1] for error in errors), strict=True):
        # To the input as the spacing, else as its square: at least 8 times less for 8 times more points, and some room.
        assert fine < middle / 6 < coarse / 36
        assert fine < 1e-3


SHAPES = [(3, 1), (1, 7), (0, 4), (2, 0, 3), (5,), (4, 3, 5, 2), (700, 65), (9000, 33)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES)
def test_kernels_equal_pytorchs_operations(
    shape: tuple[int, ...], dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values and gradients to the input are equal bit for bit on all paths; that to the grid up to its sums' order.

    A sum of n floats in any order is within (n - 1) units of roundoff of the sum of magnitudes. Recomputing or storing
    makes no difference at all.
    """
    x = (torch.randn(shape, dtype=dtype) * 3).requires_grad_()
    grid = torch.randn(shape[-1], 33, dtype=dtype, requires_grad=True)
    weight = torch.randn(shape, dtype=dtype)

    def compute(recompute: bool) -> tuple[Tensor, ...]:
        y = lerp(x, grid, 2.7, recompute=recompute)
        return (y.detach(), *torch.autograd.grad(y, (x, grid), weight))

    kernels = compute(True)
    assert all(torch.equal(a, b) for a, b in zip(kernels, compute(False), strict=True))
    monkeypatch.setattr(lerp_module, "_has_kernels", lambda _: False)
    plain = compute(True)
    assert all(torch.equal(a, b) for a, b in zip(plain, compute(False), strict=True))
    assert torch.equal(plain[0], kernels[0])
    assert torch.equal(plain[1], kernels[1])
    index, fraction = lerp_module.locate(x.detach(), grid.detach(), 2.7)
    terms = torch.zeros(grid.numel(), dtype=torch.float64)
    exact = torch.zeros(grid.numel(), dtype=torch.float64)
    counts = torch.zeros(grid.numel(), dtype=torch.float64)
    for step, share in ((0, 1 - fraction), (1, fraction)):
        added = (weight * share).flatten().double()
        exact.index_add_(0, index.flatten() + step, added)
        terms.index_add_(0, index.flatten() + step, added.abs())
        counts.index_add_(0, index.flatten() + step, torch.ones_like(added))
    bound = (counts * terms * torch.finfo(dtype).eps).view_as(grid)
    for got in (kernels[2], plain[2]):
        assert ((got.double() - exact.view_as(grid)).abs() <= bound).all()


@pytest.fixture
def threads() -> Iterator[None]:
    """The number of threads is as before after the test."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("recompute", [False, True])
def test_threads_do_not_change_a_bit(recompute: bool) -> None:
    """One, two or five threads give the same values and gradients, however often."""
    x, grid = (torch.randn(20000, 24) * 3).requires_grad_(), torch.randn(24, 16, requires_grad=True)
    weight = torch.randn(20000, 24)
    # Cut into several blocks: otherwise there would be nothing to share out.
    assert lerp_kernels._blocks(x.numel()) > 5
    results = []
    for count in (1, 2, 5, 5, 5):
        torch.set_num_threads(count)
        y = lerp(x, grid, 4.0, recompute=recompute)
        results.append((y, *torch.autograd.grad(y, (x, grid), weight)))
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True))


@pytest.mark.usefixtures("threads")
def test_threads_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many threads as PyTorch is told to use get work: no more, and no fewer."""
    asked: list[int] = []
    pool = lerp_kernels._pool(os.getpid())

    class Spy:
        def submit(self, work: Callable[[], None]) -> object:
            asked.append(1)
            return pool.submit(work)

    monkeypatch.setattr(lerp_kernels, "_pool", lambda _: Spy())
    for count, others in ((1, 0), (3, 2)):
        asked.clear()
        torch.set_num_threads(count)
        lerp(torch.randn(20000, 24), torch.randn(24, 16), 4.0)
        assert len(asked) == others


@pytest.mark.parametrize("dtype", DTYPES)
def test_inputs_that_are_not_contiguous(dtype: torch.dtype) -> None:
    """Transposed, sliced and expanded inputs, grids and gradients give what contiguous copies give."""
    base = torch.randn(6, 9, 14, dtype=dtype) * 3
    grid = torch.randn(11, 6, dtype=dtype).T.requires_grad_()
    for x in (base.permute(2, 1, 0), base[:, ::2].transpose(0, 2)[::3], base[:, :1].transpose(0, 2).expand(14, 5, 6)):
        leaf = x.requires_grad_()
        weight = torch.randn(1, dtype=dtype).expand(x.shape)
        got = torch.autograd.grad(y := lerp(leaf, grid, 2.0), (leaf, grid), weight)
        copy, grid_copy = (t.detach().contiguous().clone().requires_grad_() for t in (x, grid))
        expected = torch.autograd.grad(z := lerp(copy, grid_copy, 2.0), (copy, grid_copy), weight.contiguous())
        assert torch.equal(y, z)
        assert all(torch.equal(a, b) for a, b in zip(got, expected, strict=True))
        base = base.detach()


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("path", ["kernels", "plain"])
def test_nan_and_infinities(path: str, recompute: bool, request: pytest.FixtureRequest) -> None:
    """NaN gives NaN, an infinity the limit there; other channels' values and gradients are untouched."""
    if path == "plain":
        request.getfixturevalue("plain")
    inf, nan = math.inf, math.nan
    # Rising, falling and level outer segments: what lies on either side of the second channel's grid is another's.
    grid = torch.tensor([[0.0, 1.0, 3.0], [5.0, 4.0, 4.0], [7.0, 8.0, 9.0]], requires_grad=True)
    x = torch.tensor([[0.1, inf, 0.2], [0.1, -inf, 0.2], [0.1, nan, 0.2], [inf, 0.0, 0.2], [-inf, 0.0, 0.2]])
    x.requires_grad_()
    y = lerp(x, grid, 1.0, recompute=recompute)
    column = y[:, 1].tolist()
    assert math.isnan(column[0])
    assert column[1] == inf
    assert math.isnan(column[2])
    assert column[3:] == [4.0, 4.0]
    assert y[3, 0] == inf
    assert y[4, 0] == -inf
    assert y[:, 2].isfinite().all()
    to_x, to_grid = torch.autograd.grad(y, (x, grid), torch.ones_like(y))
    assert to_x.isfinite().all()
    assert not to_grid[1].isfinite().all()
    assert to_grid[2].tolist() == pytest.approx([0.0, 4.0, 1.0], rel=1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_small_floats_take_the_plain_path(dtype: torch.dtype) -> None:
    """Types without kernels work, at their own precision."""
    x = torch.linspace(-5, 5, 41, dtype=dtype).unsqueeze(1)
    grid = torch.linspace(-4, 4, 9, dtype=dtype).unsqueeze(0)
    torch.testing.assert_close(lerp(x, grid, 4.0), x, rtol=0.02, atol=0.02)


def test_second_derivatives_are_refused() -> None:
    """The backward pass cannot be differentiated and says so, rather than giving zeros."""
    x = torch.randn(3, 2, requires_grad=True)
    grid = torch.randn(2, 5, requires_grad=True)
    (first,) = torch.autograd.grad((lerp(x, grid, 1.0) ** 2).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_bad_arguments_are_named() -> None:
    """Shapes, types and numbers that fit nothing end in one message that names them."""
    x, grid = torch.zeros(3, 2), torch.zeros(2, 5)
    for call, message in (
        (lambda: lerp(x, grid[:, :1], 1.0), r"grid of shape \(2, 1\)"),
        (lambda: lerp(x, grid[0], 1.0), r"grid of shape \(5,\)"),
        (lambda: lerp(x[:, :0], grid[:0], 1.0), r"grid of shape \(0, 5\)"),
        (lambda: lerp(x[:, :1], grid, 1.0), "2 channels"),
        (lambda: lerp(x[0, 0], grid, 1.0), "2 channels"),
        (lambda: lerp(x.double(), grid, 1.0), "float64 for tables of torch.float32"),
        (lambda: lerp(x.int(), grid.int(), 1.0), "floating-point"),
        (lambda: lerp(x, grid, 0.0), "limit of a table is 0.0"),
        (lambda: lerp(x, grid, math.nan), "limit of a table is nan"),
        (lambda: PSA(0), "0 channels"),
        (lambda: PSA(2, centres=0), "0 centres"),
        (lambda: PSA(2, eps=0.0), "eps of PSA is 0.0"),
        (lambda: PSA(2, initialisation="zeros"), "'zeros'"),  # type: ignore[arg-type]
        (lambda: PSA(2)(torch.zeros(4, 3)), "2 channels"),
        (lambda: LerpPSA(2, points=1), "1 points"),
        (lambda: LerpPSA(2, limit=-1.0), "-1.0"),
        (lambda: BSpline(2, knots=2), "2 knots"),
        (lambda: BSpline(2, limit=math.inf), "inf"),
    ):
        with pytest.raises(ModelError, match=message):
            call()


def test_only_input_and_grid_are_kept() -> None:
    """With `recompute` the graph holds x itself and the grid, nothing else of x's size; without it, two more."""
    for recompute, elements in ((True, 0), (False, 2)):
        x = torch.randn(1000, 4, requires_grad=True)
        grid = torch.randn(4, 9, requires_grad=True)
        kept: list[Tensor] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, kept=kept: kept.append(t) or t, lambda t: t):
            lerp(x, grid, 4.0, recompute=recompute)
        own = [t for t in kept if t.data_ptr() not in (x.data_ptr(), grid.data_ptr())]
        assert [t.shape for t in own] == [x.shape] * elements


# --- B-spline -------------------------------------------------------------------------------------------------------


def test_b_spline_starts_as_a_leaky_relu() -> None:
    """A new B-spline is the leaky ReLU of slope 0.01, outside its knots too."""
    x = torch.randn(200, 3) * 4
    torch.testing.assert_close(BSpline(3)(x), nn.functional.leaky_relu(x, 0.01), rtol=1e-5, atol=1e-6)


def test_b_spline_is_a_sum_of_hat_functions() -> None:
    """Within its knots a spline is sum_k c_k max(0, 1 - |x - t_k| / T)."""
    spline = BSpline(2, knots=9, limit=2.0).double()
    with torch.no_grad():
        spline.coefficients.normal_()
    x = torch.rand(100, 2, dtype=torch.float64) * 4 - 2
    knots = np.linspace(-2, 2, 9)
    c = spline.coefficients.detach().numpy()
    hats = np.maximum(0, 1 - np.abs(x.numpy()[..., None] - knots) / 0.5)
    np.testing.assert_allclose(spline(x).detach().numpy(), (hats * c).sum(-1), rtol=1e-12, atol=1e-12)


def test_b_spline_gradients() -> None:
    """Gradients of values and of TV(2) are those of finite differences."""
    spline = BSpline(3, knots=11, limit=2.0).double()
    with torch.no_grad():
        spline.coefficients.normal_()
    x = (-2 + 0.4 * (torch.randint(-3, 13, (5, 3)).double() + 0.5)).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, _: spline(x), (x, spline.coefficients))
    assert torch.autograd.gradcheck(lambda _: spline.tv2(), (spline.coefficients,))


def test_tv2_is_the_sum_of_the_changes_of_slope() -> None:
    """TV(2) is 0.99 a channel for the leaky ReLU, whatever the spacing, 0 for a line, the turns' sum for a zigzag."""
    for knots, limit in ((65, 4.0), (5, 1.0)):
        assert BSpline(3, knots, limit).tv2().item() == pytest.approx(3 * 0.99, rel=1e-5)
    spline = BSpline(1, knots=5, limit=4.0)
    with torch.no_grad():
        spline.coefficients.copy_(torch.tensor([[-3.0, -1.0, 1.0, 3.0, 5.0]]))
        assert spline.tv2().item() == 0
        # Slopes 1, -2, 0, 1.5: changes 3, 2, 1.5.
        spline.coefficients.copy_(torch.tensor([[0.0, 2.0, -2.0, -2.0, 1.0]]))
        assert spline.tv2().item() == 6.5
