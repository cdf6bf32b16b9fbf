"""The monitors of AXI4 and AXI4-Lite pass what keeps to the rules and see every rule broken."""

from types import SimpleNamespace

import pytest

from testbenches.common.axi import FIELDS, LITE_FIELDS, AxiLiteRules, AxiRules
from testbenches.common.stream import ProtocolError

ONES = 0xFFFF
X = "X"

Signals = dict[str, int | str]


class Pin:
    """One pin: an unsigned number, or bits of which some are unknown."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._handle = self
        self.value: int | str = 0

    def get_signal_val_binstr(self) -> str:
        """The bits, as the simulator gives them to cocotb."""
        return self.value if isinstance(self.value, str) else f"{self.value:b}"


class Pins(SimpleNamespace):
    """A module's pins, all low."""

    def __init__(self, prefix: str, fields: dict[str, tuple[str, ...]]) -> None:
        names = ["rst", *(f"{prefix}_{channel}{field}" for channel in fields for field in ("valid", "ready"))]
        names += [f"{prefix}_{channel}{field}" for channel, of in fields.items() for field in of]
        super().__init__(**{name: Pin(name) for name in names})


def play(rules: AxiRules | AxiLiteRules, pins: Pins, prefix: str, cycles: list[Signals]) -> None:
    """Show one cycle after another; a pin that a cycle does not name is low, ready pins are high."""
    for signals in cycles:
        given = {name if name == "rst" else f"{prefix}_{name}": value for name, value in signals.items()}
        for name, handle in vars(pins).items():
            handle.value = given.get(name, int(name.endswith("ready")))
        rules.sample()


def master(cycles: list[Signals], **options) -> AxiRules:
    """The rules of an AXI4 master after some cycles."""
    pins = Pins("m_axi", FIELDS)
    memory_checked = options.pop("memory_checked", True)
    rules = AxiRules(pins, **options)
    rules.memory_checked = memory_checked
    play(rules, pins, "m_axi", cycles)
    return rules


def lite(cycles: list[Signals]) -> AxiLiteRules:
    """The rules of an AXI4-Lite subordinate after some cycles."""
    pins = Pins("s_axil", LITE_FIELDS)
    rules = AxiLiteRules(pins)
    play(rules, pins, "s_axil", cycles)
    return rules


def request(channel: str, address: int, beats: int = 1, identity: int = 0, **changed: int | str) -> Signals:
    """A cycle with a request of whole words."""
    fields = {"valid": 1, "id": identity, "addr": address, "len": beats - 1, "size": 4, "burst": 1} | changed
    return {f"{channel}{field}": value for field, value in fields.items()}


def data(value: int, last: int = 0, **changed: int | str) -> Signals:
    """A cycle with a word of write data."""
    return {"wvalid": 1, "wdata": value, "wstrb": ONES, "wlast": last} | changed


def answer(identity: int = 0) -> Signals:
    """A cycle with a write response."""
    return {"bvalid": 1, "bid": identity}


def beat(value: int, last: int = 0, identity: int = 0) -> Signals:
    """A cycle with a word of read data."""
    return {"rvalid": 1, "rdata": value, "rlast": last, "rid": identity}


QUIET: Signals = {}
READ = [request("ar", 0x40, 2), beat(1), beat(2, last=1)]
WRITE = [request("aw", 0x80, 2), data(3), data(4, last=1), answer()]


def test_sound_reads_are_recorded() -> None:
    """Reads of two ids whose beats interleave, one after a wait: no complaint; all recorded."""
    rules = master(
        [
            request("ar", 0xFE0, 2) | {"arready": 0},
            request("ar", 0xFE0, 2),
            request("ar", 0x3000, 1, identity=1),
            request("ar", 0x1000, 1) | beat(1),
            beat(2, last=1, identity=1),
            beat(3, last=1) | {"rready": 0},
            beat(3, last=1),
            beat(4, last=1),
        ],
        burst=2,
        reads={0: [(0xFE0, 0x1010)], 1: [(0, 0x10), (0x3000, 0x3010)]},
    )
    assert [tuple(burst) for burst in rules.reads] == [(2, 0, 0xFE0, 2), (3, 1, 0x3000, 1), (4, 0, 0x1000, 1)]
    assert rules.read_beats == [(4, 0, 0xFE0), (5, 1, 0x3000), (7, 0, 0xFF0), (8, 0, 0x1000)]
    assert rules.most_reads == 3
    rules.assert_quiet()


def test_sound_writes_are_recorded() -> None:
    """Writes with data before, with and after their request, answered late: no complaint; words where they belong."""
    rules = master(
        [
            data(7, last=1),
            request("aw", 0x20),
            request("aw", 0x40, 2) | data(8),
            data(9, last=1) | answer(),
            request("aw", 0x60),
            data(10, last=1) | {"wready": 0},
            data(10, last=1),
            answer(),
            answer(),
        ],
        writes=[(0x20, 0x30), (0x40, 0x70)],
    )
    assert rules.written == {0x20: 7, 0x40: 8, 0x50: 9, 0x60: 10}
    assert [burst.address for burst in rules.writes] == [0x20, 0x40, 0x60]
    assert rules.most_writes == 2
    rules.assert_quiet()


def test_reset_forgets() -> None:
    """What a reset interrupts is owed no more; in its first cycle anything may be shown, and does not count."""
    rules = master([request("ar", 0), request("aw", 0) | {"awready": 0, "rst": 1}, {"rst": 1}, QUIET, *READ, *WRITE])
    assert [burst.address for burst in rules.reads] == [0x40]
    rules.assert_quiet()


@pytest.mark.parametrize(
    ("cycles", "report"),
    {
        "valid withdrawn": ([request("ar", 0) | {"arready": 0}, QUIET], "m_axi_ar withdrew"),
        "address changed": ([request("ar", 0) | {"arready": 0}, request("ar", 16)], "m_axi_ar changed"),
        "length changed": ([request("aw", 0) | {"awready": 0}, request("aw", 0, 2)], "m_axi_aw changed"),
        "cache changed": ([request("aw", 0) | {"awready": 0}, request("aw", 0, cache=3)], "m_axi_aw changed"),
        "write data changed": ([data(1) | {"wready": 0}, data(2)], "m_axi_w changed"),
        "last changed": ([data(1) | {"wready": 0}, data(1, last=1)], "m_axi_w changed"),
        "read data changed": ([*READ[:1], beat(1) | {"rready": 0}, beat(2)], "m_axi_r changed"),
        "response withdrawn": ([*WRITE[:3], answer() | {"bready": 0}, QUIET], "m_axi_b withdrew"),
        "read request in reset": ([{"rst": 1}, request("ar", 0) | {"rst": 1}], "m_axi_ar is valid after"),
        "write request after reset": ([{"rst": 1}, request("aw", 0)], "m_axi_aw is valid after"),
        "write data in reset": ([{"rst": 1}, data(0) | {"rst": 1}], "m_axi_w is valid after"),
        "valid unknown": ([{"arvalid": X}], "m_axi_arvalid is X"),
        "ready unknown": ([READ[0], beat(1) | {"rready": X}], "m_axi_rready is X"),
        "address unknown": ([request("ar", 0, addr=X)], "m_axi_araddr is X"),
        "write data unknown": ([data(0, wdata=X)], "m_axi_wdata is X"),
        "narrow read": ([request("ar", 0, size=3)], "m_axi_ar has size 3"),
        "narrow write": ([request("aw", 0, size=2)], "m_axi_aw has size 2"),
        "fixed burst": ([request("ar", 0, burst=0)], "m_axi_ar has burst type 0"),
        "wrapping burst": ([request("aw", 0, burst=2)], "m_axi_aw has burst type 2"),
        "exclusive": ([request("ar", 0, lock=1)], "m_axi_ar is exclusive"),
        "misaligned": ([request("ar", 8)], "m_axi_ar has address 0x8"),
        "misaligned write": ([request("aw", 0x84)], "m_axi_aw has address 0x84"),
        "long burst": ([request("ar", 0, 5)], "m_axi_ar has 5 beats"),
        "long write burst": ([request("aw", 0, 5)], "m_axi_aw has 5 beats"),
        "page crossed": ([request("ar", 0x1FF0, 2)], "m_axi_ar crosses a 4096-byte boundary: 0x1ff0"),
        "page crossed by a write": ([request("aw", 0x1FE0, 3)], "m_axi_aw crosses"),
        "read elsewhere": ([request("ar", 0x8000)], "m_axi_ar asks for 0x8000 to 0x8010 as id 0"),
        "read across a range's end": ([request("ar", 0x3FE0), request("ar", 0x3FE0, 2)], "expected 0x0 to 0x3ff0"),
        "range of another id": ([request("ar", 0, identity=1)], "as id 1, expected 0x5000"),
        "write elsewhere": ([request("aw", 0x6000)], "m_axi_aw asks for 0x6000"),
        "byte left out": ([data(0, wstrb=ONES - 1)], "m_axi_w has wstrb 1111111111111110"),
        "last early": ([request("aw", 0, 2), data(0, last=1)], "m_axi_w has wlast on beat 1 of 2"),
        "last missing": ([request("aw", 0, 2), data(0), data(0)], "m_axi_w has no wlast on beat 2"),
        "last early before the request": ([data(0, last=1), request("aw", 0, 2)], "wlast on beat 1 of 2"),
        "last missing before the request": ([data(0), data(0), request("aw", 0, 2)], "no wlast on beat 2"),
        "read unasked": ([beat(0)], "m_axi_r answers id 0, which"),
        "read of another id": ([READ[0], beat(0, identity=1)], "m_axi_r answers id 1, which"),
        "read at once": ([request("ar", 0) | beat(0, last=1)], "m_axi_r answers id 0, which"),
        "surplus read": ([*READ, beat(0)], "m_axi_r answers id 0, which"),
        "rlast early": ([READ[0], beat(0, last=1)], "m_axi_r has rlast 1 with 2 beats left"),
        "rlast missing": ([*READ[:2], beat(0)], "m_axi_r has rlast 0 with 1 beats left"),
        "answer unasked": ([answer()], "m_axi_b answers id 0, none"),
        "answer before the data": ([*WRITE[:2], answer()], "m_axi_b answers id 0, none"),
        "answer with the last word": ([*WRITE[:2], WRITE[2] | answer()], "m_axi_b answers id 0, none"),
        "answer before the request": ([data(0, last=1), answer()], "m_axi_b answers id 0, none"),
        "answer of another id": ([*WRITE[:3], answer(1)], "m_axi_b answers id 1, none"),
        "second answer": ([*WRITE, answer()], "m_axi_b answers id 0, none"),
    }.values(),
)
def test_fault_of_a_master_or_its_memory_is_reported(cycles: list[Signals], report: str) -> None:
    """Each rule, broken in the last of some cycles and in no earlier one, is named with the channel."""
    allowed = {"burst": 4, "reads": {0: [(0, 0x4000 - 16), (0x8020, 0x9000)], 1: [(0x5000, 0x6000)]}}
    allowed["writes"] = [(0, 0x4000)]
    master(cycles[:-1], **allowed)
    with pytest.raises(ProtocolError) as failure:
        master(cycles, **allowed)
    assert report in str(failure.value)
    assert f"cycle {len(cycles)}" in str(failure.value) or "is X" in str(failure.value)


@pytest.mark.parametrize(
    ("cycles", "report"),
    [
        (READ[:2], "1 reads"),
        (WRITE[:1], "1 writes"),
        (WRITE[:3], "1 writes"),
        ([data(0)], "without a request"),
        ([data(0, last=1)], "without a request"),
        ([request("ar", 0) | {"arready": 0}], "not quiet"),
    ],
)
def test_unfinished_business_is_seen(cycles: list[Signals], report: str) -> None:
    """What a master has begun and not brought to its end is not quiet."""
    with pytest.raises(AssertionError, match=report):
        master(cycles).assert_quiet()


def test_faulty_memory_can_be_wanted() -> None:
    """With the memory unchecked, a burst is over after the beats it asked for, whatever rlast and strangers say."""
    cycles = [READ[0], beat(0, last=1), beat(0, identity=1), answer(), beat(0), beat(0)]
    rules = master(cycles, memory_checked=False)
    assert len(rules.read_beats) == 2
    rules.assert_quiet()


LITE_WRITE: list[Signals] = [{"awvalid": 1, "wvalid": 1}, {"bvalid": 1}]
LITE_READ: list[Signals] = [{"arvalid": 1}, {"rvalid": 1}]


def test_sound_accesses_pass() -> None:
    """Address and data of a write in either order or together, two reads at once, answers that wait: no complaint."""
    rules = lite(
        [
            *LITE_WRITE,
            {"wvalid": 1},
            {"awvalid": 1},
            {"bvalid": 1, "bresp": 2, "bready": 0},
            {"bvalid": 1, "bresp": 2, "arvalid": 1},
            {"arvalid": 1},
            *[{"rvalid": 1, "rdata": value} for value in (1, 2)],
            {"rst": 1, "awvalid": 1},
            {"rst": 1},
            *LITE_READ,
        ]
    )
    assert rules.monitors["r"].beats == [(0, 0)]
    rules.assert_quiet()


@pytest.mark.parametrize(
    ("cycles", "report"),
    {
        "withdrawn": ([LITE_READ[0], {"rvalid": 1, "rready": 0}, {}], "s_axil_r withdrew"),
        "data changed": ([LITE_READ[0], {"rvalid": 1, "rready": 0}, {"rvalid": 1, "rdata": 1}], "s_axil_r changed"),
        "response changed": ([LITE_WRITE[0], {"bvalid": 1, "bready": 0}, {"bvalid": 1, "bresp": 2}], "axil_b changed"),
        "address changed": ([{"awvalid": 1, "awready": 0}, {"awvalid": 1, "awaddr": 4}], "s_axil_aw changed"),
        "read answered in reset": ([{"rst": 1}, {"rst": 1, "rvalid": 1}], "s_axil_r is valid after"),
        "write answered after reset": ([{"rst": 1}, {"bvalid": 1}], "s_axil_b is valid after"),
        "read unasked": ([{"rvalid": 1}], "s_axil_r answers 1 requests of 0"),
        "read at once": ([{"arvalid": 1, "rvalid": 1}], "s_axil_r answers 1 requests of 0"),
        "read twice": ([*LITE_READ, {"rvalid": 1}], "s_axil_r answers 2 requests of 1"),
        "write without data": ([{"awvalid": 1}, {"bvalid": 1}], "s_axil_b answers 1 requests of 0"),
        "write without address": ([{"wvalid": 1}, {"bvalid": 1}], "s_axil_b answers 1 requests of 0"),
        "exclusive okay": ([LITE_READ[0], {"rvalid": 1, "rresp": 1}], "s_axil_r answers EXOKAY"),
        "data unknown": ([LITE_READ[0], {"rvalid": 1, "rdata": X}], "s_axil_rdata is X"),
        "ready unknown": ([{"awvalid": 1, "awready": X}], "s_axil_awready is X"),
    }.values(),
)
def test_fault_of_a_subordinate_is_reported(cycles: list[Signals], report: str) -> None:
    """Each rule of AXI4-Lite, broken in the last of some cycles and in no earlier one, is named with the channel."""
    lite(cycles[:-1])
    with pytest.raises(ProtocolError) as failure:
        lite(cycles)
    assert report in str(failure.value)


@pytest.mark.parametrize("cycles", [LITE_WRITE[:1], LITE_READ[:1], [{"awvalid": 1}]])
def test_unanswered_access_is_seen(cycles: list[Signals]) -> None:
    """A request without its answer is not quiet."""
    with pytest.raises(AssertionError, match="answers"):
        lite(cycles).assert_quiet()
