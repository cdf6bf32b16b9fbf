"""Records of areas: resources of an FPGA by part of a design, by module, and in all."""

from collections.abc import Iterable

import msgspec

from fxsim.devices.base import PublishedArea


class Resources(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Parts of an FPGA. `lut`: look-up tables, those used as memory and as shift registers among them.

    `lutram`, `srl`: of these, tables that are memory and that are shift registers. `ff`: flip-flops. `latch`: latches.
    `dsp`: multiplier blocks. `bram`: memory blocks in the larger of the device's sizes, half a block counted as 0.5.
    `uram`: UltraRAM blocks. `carry`: cells of carry chains, `mux`: multiplexers behind tables, both beside them.
    """

    lut: int = 0
    lutram: int = 0
    srl: int = 0
    ff: int = 0
    latch: int = 0
    dsp: int = 0
    bram: float = 0
    uram: int = 0
    carry: int = 0
    mux: int = 0

    def __add__(self, other: "Resources") -> "Resources":
        """The parts of both together."""
        pairs = {name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__}
        return Resources(**pairs)

    def times(self, count: int) -> "Resources":
        """The parts of `count` such designs."""
        return Resources(**{name: getattr(self, name) * count for name in self.__struct_fields__})


def add_up(parts: Iterable[Resources]) -> Resources:
    """The parts of all together."""
    total = Resources()
    for part in parts:
        total += part
    return total


class Way(msgspec.Struct, frozen=True):
    """The longest way to a place: its length in tenths of a level of logic, and names along it, the beginning first."""

    tenths: int
    names: tuple[str, ...]


class Levels(msgspec.Struct, frozen=True, kw_only=True):
    """The longest ways of a part; None where there is none.

    `inside`: from register to register; `into`: from an input to a register; `out`: from a register to an output;
    `through`: from an input to an output.
    """

    inside: Way | None
    into: Way | None
    out: Way | None
    through: Way | None

    @property
    def longest(self) -> Way | None:
        """The longest of all."""
        ways = [way for way in (self.inside, self.into, self.out, self.through) if way is not None]
        return max(ways, key=lambda way: way.tenths, default=None)


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """A part of a design that is synthesised in one go. `module`: the Verilog's; `instances`: how often it is there.

    `each`: what one instance takes. `holds`: its modules by name, or nothing where it is one module alone. `paths`: the
    instances' hierarchical names, the first few. `rest`: whether it is what is left of a module whose larger parts are
    units of their own. `levels`: its longest ways; those of what is left end and begin at the units that it holds.
    """

    module: str
    instances: int
    each: Resources
    paths: tuple[str, ...]
    holds: tuple[str, ...] = ()
    rest: bool = False
    levels: Levels
    sha256: str = ""
    cached: bool = False


class ModuleArea(msgspec.Struct, frozen=True, kw_only=True):
    """All units of one module of the Verilog: how many instances, and what they take together."""

    module: str
    instances: int
    total: Resources
    least: Resources
    most: Resources


class Area(msgspec.Struct, frozen=True, kw_only=True):
    """The area of a design on an FPGA. `design`: its top; `folder`: of its Verilog; `yosys`: its version.

    `without`: modules that were taken out of it. `published`: what is published of such designs, for a network of the
    model's dimensions.
    """

    model: str
    accel: str
    design: str
    folder: str
    device: str
    family: str
    yosys: str
    total: Resources
    modules: tuple[ModuleArea, ...]
    units: tuple[Unit, ...]
    sources_sha256: str
    model_sha256: str
    without: tuple[str, ...] = ()
    published: tuple[PublishedArea, ...] = ()
