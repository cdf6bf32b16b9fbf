"""FPGAs that designs are synthesised for: Yosys' command, and what each cell of the family is."""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from fxsim.errors import StimulusError, ToolError
from fxsim.synthesis.record import Resources

_LUT_INPUTS = range(1, 7)


@dataclass(frozen=True)
class Target:
    """A family of FPGAs. `synthesis`: Yosys' command without `-top`; `cells`: what each cell takes.

    `free`: cells that take nothing that is counted. `block`: the size of one of `bram`. `no_memory`: options for a part
    without memories, which change nothing of it but spare Yosys reading how memories are made.
    """

    name: str
    about: str
    synthesis: str
    cells: Mapping[str, Resources]
    free: frozenset[str]
    block: str
    no_memory: str = ""

    def count(self, cells: Mapping[str, int], where: str) -> Resources:
        """Count the resources of some cells, by type; ToolError naming a type that is not known here."""
        total = Resources()
        for kind, count in cells.items():
            if kind in self.free:
                continue
            if kind not in self.cells:
                raise ToolError(
                    f"{where}: Yosys made {count} cells {kind} for {self.name}, of which it is not known what they take"
                )
            total += self.cells[kind].times(count)
        return total


_XILINX_FLOPS = ("FDRE", "FDSE", "FDCE", "FDPE", "FDRE_1", "FDSE_1", "FDCE_1", "FDPE_1")

# Look-up tables of a memory cell: UG474 and UG574 (tables "Distributed RAM configuration"), a cell RAMnX1D with one
# port to write and read and one to read, RAMnM with three to read. The U in UltraScale's has eight tables a cell.
_XILINX_LUTRAM = {
    "RAM32X1S": 1, "RAM32X1D": 2, "RAM64X1S": 1, "RAM64X1D": 2, "RAM128X1S": 2, "RAM128X1D": 4, "RAM256X1S": 4,
    "RAM256X1D": 8, "RAM512X1S": 8, "RAM32M": 4, "RAM64M": 4, "RAM32M16": 8, "RAM64M8": 8, "RAM32X16DR8": 8,
    "RAM64X8SW": 8,
}  # fmt: skip
_XILINX_FREE = frozenset({"BUFG", "IBUF", "OBUF", "GND", "VCC", "$scopeinfo"})


def _xilinx() -> dict[str, Resources]:
    cells = {f"LUT{inputs}": Resources(lut=1) for inputs in _LUT_INPUTS}
    # An inverter that no table and no flip-flop takes up is a table; counted as one wherever it stands.
    cells |= {"INV": Resources(lut=1), "LUT6_2": Resources(lut=1)}
    cells |= {name: Resources(ff=1) for name in _XILINX_FLOPS}
    cells |= {name: Resources(latch=1) for name in ("LDCE", "LDPE")}
    cells |= {name: Resources(lut=tables, lutram=tables) for name, tables in _XILINX_LUTRAM.items()}
    cells |= {name: Resources(lut=1, srl=1) for name in ("SRL16", "SRL16E", "SRLC16", "SRLC16E", "SRLC32E")}
    cells |= {name: Resources(carry=1) for name in ("CARRY4", "CARRY8", "XORCY", "MUXCY")}
    cells |= {name: Resources(mux=1) for name in ("MUXF5", "MUXF6", "MUXF7", "MUXF8", "MUXF9")}
    cells |= {name: Resources(dsp=1) for name in ("DSP48E1", "DSP48E2")}
    cells |= {f"RAMB18E{version}": Resources(bram=0.5) for version in (1, 2)}
    cells |= {f"RAMB36E{version}": Resources(bram=1) for version in (1, 2)}
    return cells | {"URAM288": Resources(uram=1)}


_ECP5 = {
    "LUT4": Resources(lut=1),
    # Two tables with their carry.
    "CCU2C": Resources(lut=2, carry=1),
    "TRELLIS_FF": Resources(ff=1),
    # Two tables that hold bits, and two whose inputs are taken for writing.
    "TRELLIS_DPR16X4": Resources(lut=4, lutram=4),
    "PFUMX": Resources(mux=1),
    "L6MUX21": Resources(mux=1),
    "MULT18X18D": Resources(dsp=1),
    "DP16KD": Resources(bram=1),
}
ICE40_KINDS = ("", "E", "R", "ER", "S", "ES", "SR", "ESR", "SS", "ESS")
_ICE40_FLOPS = [f"SB_DFF{edge}{kind}" for edge in ("", "N") for kind in ICE40_KINDS]
_ICE40 = {
    "SB_LUT4": Resources(lut=1),
    "SB_CARRY": Resources(carry=1),
    **{name: Resources(ff=1) for name in _ICE40_FLOPS},
    **{f"SB_RAM40_4K{edges}": Resources(bram=1) for edges in ("", "NR", "NW", "NRNW")},
    "SB_MAC16": Resources(dsp=1),
    "SB_SPRAM256KA": Resources(uram=1),
}

# No multiplexers behind look-up tables (-nowidelut): Yosys uses many where a vendor's tools use few, and figures of
# look-up tables are then compared with none that is published. No pads and no clock buffers: a module is no chip.
_XILINX_OPTIONS = "-nowidelut -noiopad -noclkbuf -flatten"

TARGETS: Mapping[str, Target] = MappingProxyType(
    {
        target.name: target
        for target in (
            Target(
                "xcup", "AMD UltraScale+ (a U250, a ZCU104)", f"synth_xilinx -family xcup {_XILINX_OPTIONS}",
                MappingProxyType(_xilinx()), _XILINX_FREE, "36 Kibit", "-nobram -nolutram",
            ),
            Target(
                "xc7", "AMD 7 series (a Kintex-7, a Zynq-7000)", f"synth_xilinx -family xc7 {_XILINX_OPTIONS}",
                MappingProxyType(_xilinx()), _XILINX_FREE, "36 Kibit", "-nobram -nolutram",
            ),
            Target(
                "ecp5", "Lattice ECP5", "synth_ecp5 -noiopad -nowidelut",
                MappingProxyType(_ECP5), frozenset({"$scopeinfo"}), "18 Kibit",
            ),
            Target(
                "ice40", "Lattice iCE40 UltraPlus", "synth_ice40 -device u -dsp",
                MappingProxyType(_ICE40), frozenset({"$scopeinfo", "SB_GB"}), "4 Kibit",
            ),
        )
    }
)  # fmt: skip
"""Families of FPGAs by name, the first the one that is meant where none is named."""


def find_target(name: str) -> Target:
    """The target of a name; StimulusError naming those there are."""
    if name not in TARGETS:
        raise StimulusError(f"device is '{name}', expected one of: {', '.join(TARGETS)}")
    return TARGETS[name]
