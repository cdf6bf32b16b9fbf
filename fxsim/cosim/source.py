"""A device as a source of values: what its RTL gives at every tap, to be compared with anything."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fxsim.compare import Values
from fxsim.contract.arithmetic import Integers
from fxsim.cosim.driver import run_cosim
from fxsim.cosim.request import CosimRequest
from fxsim.devices import DESCRIBED, DEVICES, Layout, make_settings
from fxsim.engines import Engine, run
from fxsim.errors import ComparisonError
from fxsim.graph import Model
from fxsim.simulate.build import Status
from fxsim.simulate.differences import Differences


@dataclass(frozen=True)
class DeviceSource:
    """The RTL of a device with a model on it, simulated on images `x` [image, ...] when values are first asked for.

    All images are simulated in one run, from power-on seed 1. `taps`: those that it shows, and its output; a tap of the
    output's name is the output. ComparisonError where a run does not come to its end or breaks a rule of the streams,
    or where output and tap of that name differ: then there are no values that could be believed.
    """

    name: str
    model: Model
    x: Integers
    device: str
    settings: Mapping[str, object]
    taps: tuple[str, ...]
    status: Status | None = field(default=None, compare=False)
    _simulated: dict[tuple[str, ...], Mapping[str, Values]] = field(default_factory=dict, compare=False)

    @property
    def origin(self) -> str:
        """The origin of its values: what two sources of one device have in common."""
        return f"device {self.device} {sorted(self.settings.items())}"

    @property
    def images(self) -> int:
        """Number of images."""
        return len(self.x)

    def values(self, part: slice, taps: tuple[str, ...]) -> Mapping[str, Values]:
        """The values of some images at some taps."""
        if taps not in self._simulated:
            self._simulated[taps] = self._simulate(taps)
        return {tap: values[part] for tap, values in self._simulated[taps].items()}

    def _simulate(self, taps: tuple[str, ...]) -> Mapping[str, Values]:
        x = np.ascontiguousarray(self.x)
        found: dict[str, Values] = {}

        def take(layout: Layout, differences: Differences) -> None:
            found.update(_given(layout, differences, x, taps))

        shown = tuple(tap for tap in taps if tap in _probed(self.device, self.model, self.settings))
        request = CosimRequest(self.model, x, self.device, self.settings, shown, power_on_seeds=(1,))
        ran = run_cosim(request, status=self.status, whole=take)
        reason = None
        if ran.verdict.stopped is not None:
            reason = f"it stopped: {ran.verdict.stopped.reason}"
        elif ran.verdict.faults:
            reason = f"{ran.verdict.faults[0].kind} on {ran.verdict.faults[0].stream}"
        elif ran.verdict.images != len(x) or ran.comparison.compared != ran.comparison.values:
            reason = f"not every value of {len(x)} images came out"
        if reason is not None:
            raise ComparisonError(f"{self.name} gives no values to compare: {reason}; fxsim cosim says more")
        return found


def device_source(model: Model, x: npt.NDArray[np.generic], text: str, status: Status | None = None) -> DeviceSource:
    """The source that a text names: an accelerator, or a file of a description (.toml).

    StimulusError, FileError and ModelError as the device has them.
    """
    described = text.endswith(".toml")
    device, settings = (DESCRIBED, {"dut": str(Path(text))}) if described else (text, {})
    shown = _probed(device, model, settings)
    taps = tuple(tap for tap in model.graph.taps if tap in (*shown, _output(device, model, settings)))
    return DeviceSource(f"the RTL of {text}", model, model.check_stimulus(x), device, settings, taps, status)


def _layout(device: str, model: Model, settings: Mapping[str, object]) -> tuple[Layout, tuple[str, ...]]:
    made = DEVICES[device]
    fitted = made.fit(model, make_settings(device, made.settings, settings))
    return fitted.layout(()), model.graph.taps if fitted.probed is None else fitted.probed


def _probed(device: str, model: Model, settings: Mapping[str, object]) -> tuple[str, ...]:
    return _layout(device, model, settings)[1]


def _output(device: str, model: Model, settings: Mapping[str, object]) -> str:
    return _layout(device, model, settings)[0].output_tap


def _given(layout: Layout, differences: Differences, x: Integers, taps: tuple[str, ...]) -> dict[str, Values]:
    """Values that the RTL gave at some taps: the expected ones, and in their place those that differed."""
    if differences.cut is not None:
        raise ComparisonError("more values differ than can be kept: compare fewer images at once")
    values: dict[str, Values] = {}
    expected = run(layout.model, x, tuple(dict.fromkeys(taps)), Engine.AUTO)
    for tap in taps:
        shown = _filled(layout, differences, tap, tap, expected[tap]) if tap in layout.compared else None
        values[tap] = expected[tap] if shown is None else shown
        if tap == layout.output_tap:
            values[tap] = _filled(layout, differences, tap, layout.output, expected[tap])
            if shown is not None and not np.array_equal(shown, values[tap]):
                raise ComparisonError(
                    f"the output of the RTL is not what it shows at tap '{tap}'; fxsim cosim says more"
                )
    return values


def _filled(layout: Layout, differences: Differences, tap: str, stream: str, expected: Values) -> Values:
    """The values that a stream gave: the expected values of its tap, and in their place those that differed."""
    number = -1 if stream == layout.output else layout.shown.index(stream)
    tensor = layout.model.graph.tensors[tap]
    records = differences.records[differences.records["source"] == number]
    got = records["got"]
    if got.size and not (tensor.number.low <= got.min() and got.max() <= tensor.number.high):
        raise ComparisonError(f"tap '{tap}': the RTL gave {got.min()} to {got.max()}, which {tensor} does not hold")
    filled = expected.copy()
    numbers, which = np.unique(records["index"], return_inverse=True)
    places = np.array([tuple(layout.index(stream, int(n)).values()) for n in numbers.tolist()], np.int64)
    if got.size:
        filled[(records["image"].astype(np.int64), *places[which].T)] = got.astype(filled.dtype)
    return filled
