"""Binding regions: which tensor, parameter or file lies where in which memory, resolved or refused."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from math import gcd
from pathlib import Path

import numpy as np

from fxsim.contract import Tensor
from fxsim.contract.number import Number
from fxsim.devices.described.jobs.bound import Area, BoundAxi4, BoundRam, BoundRegion, Space, encode
from fxsim.devices.described.jobs.parts import Region
from fxsim.devices.described.packing import make_beats
from fxsim.devices.described.tensors import array_of, part_between
from fxsim.errors import FileError
from fxsim.graph import INPUT, Model

BYTES_MAX = 1 << 28
"""Most bytes of all regions together."""
ADDRESSED_MAX = 1 << 26
"""Most bytes of all regions behind AXI4 together, of each of which more than its value is kept."""
_OVERLAPS = {("input", "output"), ("input", "scratch")}


def spaces_of(rams: Sequence[BoundRam], masters: Sequence[BoundAxi4]) -> dict[str, Space]:
    """The memories by name, as far as all of their ports reach."""
    spaces: dict[str, Space] = {}
    for name in dict.fromkeys(ram.memory for ram in rams):
        ports = [ram for ram in rams if ram.memory == name]
        spaces[name] = Space(
            name=name,
            word_bits=ports[0].word_bits,
            unit=ports[0].unit,
            cells=min(port.words for port in ports),
            bytes=ports[0].word_bytes,
            inside=ports[0].said.inside,
            reads=any(port.said.read is not None for port in ports),
            writes=any(port.said.write is not None for port in ports),
        )
    for name in dict.fromkeys(master.memory for master in masters):
        many = [master for master in masters if master.memory == name]
        spaces[name] = Space(
            name=name,
            word_bits=None,
            unit=1,
            cells=min(1 << master.address_bits for master in many),
            bytes=min(master.bytes for master in many),
            inside=False,
            reads=any(master.reads for master in many),
            writes=any(master.writes for master in many),
        )
    return spaces


def bind_region(
    path: Path, said: Region, model: Model, spaces: Mapping[str, Space], files: Mapping[str, bytes]
) -> BoundRegion:
    """A region with its words and what lies in them; `files`: those that the description has, by name."""
    where = f"{path}: {said.role} region in '{said.memory}'"
    if (space := spaces.get(said.memory)) is None:
        raise FileError(f"{where}: there is no such memory, only: {', '.join(sorted(spaces)) or 'none'}")
    if said.role == "scratch" and space.inside:
        raise FileError(f"{where}: what is inside the design is its own, and no region")
    # Of a memory of the harness the design reads what it is given; of its own the harness writes that.
    wanted = "read" if (said.role == "output") == space.inside else "write"
    if said.role != "scratch" and not (space.reads if wanted == "read" else space.writes):
        raise FileError(f"{where}: no port of it can {wanted}")
    if said.name is not None and (said.name == INPUT or said.name in model.graph.tensors):
        raise FileError(f"{where}: its name '{said.name}' is that of a tensor of the model, expected another")
    tensor, values = _tensor(where, said, model)
    beats = None if tensor is None else make_beats(said, tensor, where)
    bits = space.bytes * 8 if beats is None else beats.lanes * beats.number.bits
    if beats is not None and space.word_bits is None and bits % 8 != 0:
        raise FileError(
            f"{where}: a word has {bits} bits ({beats.lanes} lanes of {beats.number}), expected whole bytes, "
            "which are what AXI addresses"
        )
    if beats is not None and space.word_bits is not None and bits != space.word_bits:
        raise FileError(
            f"{where}: a word has {space.word_bits} bits, expected {bits} ({beats.lanes} lanes of {beats.number})"
        )
    word_bytes = -(-bits // 8)
    words, content = said.words or (beats.beats if beats is not None else 0), b""
    if said.file is not None:
        content = _content(where, said.file, files, space)
        # The last word of bytes may be of less.
        word_bytes = 1 if space.word_bits is None else space.bytes
        words = len(content) // word_bytes
    elif values is not None and beats is not None:
        content = encode(beats, values)
    cells = word_bytes if space.word_bits is None else 1
    # Of bytes a word lies as a port's data do: at a multiple of its size, as far as that divides them.
    step = space.unit if space.word_bits is not None else gcd(space.bytes if said.file else word_bytes, space.bytes)
    if said.base % step != 0:
        raise FileError(f"{where}: base {said.base} is no multiple of a word's {step} bytes")
    first = said.base // space.unit
    if first + words * cells > space.cells:
        what, last = ("words", first + words) if cells == 1 and space.word_bits else ("bytes", first + words * cells)
        raise FileError(
            f"{where}: its {what} {first} to {last - 1} are not all among the {space.cells} that its address reaches"
        )
    return BoundRegion(
        name=f"{said.role} in {said.memory}",
        label=said.name,
        role=said.role,
        memory=said.memory,
        first=first,
        cells=cells,
        words=words,
        word_bytes=word_bytes,
        beats=beats,
        tap=None if said.role not in {"input", "output"} else _carried(said, model),
        content=content,
    )


def sizes_of(regions: Iterable[BoundRegion], spaces: Mapping[str, Space]) -> dict[str, int]:
    """The sizes that steps may name: `NAME.bytes`, and `NAME.words`; a file's words are as wide as the port's data."""
    sizes = {}
    for region in regions:
        if region.label is not None:
            total = region.words * region.word_bytes
            sizes[f"{region.label}.bytes"] = total
            whole = region.beats is not None or spaces[region.memory].word_bits is not None
            sizes[f"{region.label}.words"] = region.words if whole else -(-total // spaces[region.memory].bytes)
    return sizes


def _content(where: str, name: str, files: Mapping[str, bytes], space: Space) -> bytes:
    """The bytes of a file that lie in a memory."""
    if (content := files.get(name)) is None:
        raise FileError(f"{where}: there is no file '{name}', expected one of 'files', or that the command makes")
    if not content:
        raise FileError(f"{where}: file '{name}' is empty")
    if space.word_bits is not None and len(content) % space.bytes != 0:
        raise FileError(
            f"{where}: file '{name}' has {len(content)} bytes, which are no whole words of {space.bytes} bytes"
        )
    return content


def _carried(said: Region, model: Model) -> str | None:
    """The tap whose values a region has, None for the model's own input or output."""
    own = INPUT if said.role == "input" else model.graph.output
    return None if said.tensor in {None, own} else said.tensor


def _tensor(where: str, said: Region, model: Model) -> tuple[Tensor | None, np.ndarray | None]:
    """The tensor that a region holds, and of a parameter its values."""
    if said.role == "scratch" or said.file is not None:
        return None, None
    if said.role in {"input", "output"}:
        name = said.tensor or (INPUT if said.role == "input" else model.graph.output)
        if (tensor := model.graph.tensors.get(name)) is None or (said.role == "output" and name == INPUT):
            raise FileError(f"{where}: the model has no tensor '{name}', expected one of its taps")
        return tensor, None
    value = array_of(said.tensor or "", model, where)
    if value.dtype.kind not in "iu" or value.ndim not in (1, 2):
        raise FileError(f"{where}: '{said.tensor}' has {value.ndim} axes, expected whole numbers on one or two")
    number = Number.parse(f"{'u' if value.dtype.kind == 'u' else ''}int{8 * value.dtype.itemsize}")
    return Tensor(("row", "column")[2 - value.ndim :], value.shape, number), value


def output_of(path: Path, regions: Sequence[BoundRegion], model: Model) -> tuple[str, list[BoundRegion]]:
    """The tensor that is the design's output, and the regions with its own without a tap.

    It is the model's output, or of a part of the model the last of the tensors that lie in output regions.
    """
    outputs = [region for region in regions if region.role == "output"]
    own = [region for region in outputs if region.tap is None]
    if len(own) == 1:
        return model.graph.output, list(regions)
    if own or not outputs:
        raise FileError(f"{path}: {len(own)} regions are the model's output, expected one")
    last = max(outputs, key=lambda region: model.graph.taps.index(region.tap or ""))
    assert last.tap is not None
    if sum(region.tap == last.tap for region in outputs) > 1:
        raise FileError(f"{path}: tap '{last.tap}' lies in several output regions, expected one")
    return last.tap, [replace(region, tap=None) if region is last else region for region in regions]


def part_of(path: Path, regions: Iterable[BoundRegion], output: str, model: Model) -> tuple[str, ...]:
    """The taps that the design computes: those between the tensors of its input regions and that of its output."""
    inputs = tuple(dict.fromkeys(region.tap or INPUT for region in regions if region.role == "input"))
    if not inputs:
        raise FileError(f"{path}: no region is an input")
    if output in inputs:
        raise FileError(f"{path}: '{output}' is input and output, expected an input that it is computed from")
    return part_between(inputs, output, model, str(path))


def check_regions(path: Path, spaces: Mapping[str, Space], ports: Sequence[BoundRam | BoundAxi4],
                  regions: Sequence[BoundRegion]) -> None:  # fmt: skip
    """Refuse regions that overlap where that means nothing, memories without any, and too much in all."""
    for n, one in enumerate(regions):
        for other in regions[:n]:
            apart = one.first >= other.end or other.first >= one.end
            if one.memory == other.memory and not apart and tuple(sorted((one.role, other.role))) not in _OVERLAPS:
                raise FileError(f"{path}: {other.role} and {one.role} region in '{one.memory}' overlap")
            if one.label is not None and one.label == other.label:
                raise FileError(f"{path}: two regions have the name '{one.label}'")
    for port in ports:
        if not any(region.memory == port.memory for region in regions):
            kind = "ram" if isinstance(port, BoundRam) else "axi4"
            raise FileError(f"{path}: {kind} '{port.said.name}': nothing lies in it, expected a region")
    for most, kind, some in (
        (BYTES_MAX, "", list(regions)),
        (ADDRESSED_MAX, " behind AXI4", [r for r in regions if spaces[r.memory].word_bits is None]),
    ):
        if (total := sum(region.words * region.word_bytes for region in some)) > most:
            raise FileError(f"{path}: all regions{kind} have {total} bytes, expected at most {most}")


def areas_of(spaces: Mapping[str, Space], regions: Iterable[BoundRegion]) -> tuple[Area, ...]:
    """Regions of the harness's memories, those that overlap joined."""
    areas: list[Area] = []
    for region in sorted(regions, key=lambda region: (region.memory, region.first)):
        space = spaces[region.memory]
        if space.inside:
            continue
        last = areas[-1] if areas else None
        if last is not None and last.memory == region.memory and region.first < last.first + last.cells:
            end = max(last.first + last.cells, region.end)
            areas[-1] = Area(last.memory, last.first, end - last.first, last.cell_bytes)
        else:
            bytes_a_cell = 1 if space.word_bits is None else space.bytes
            areas.append(Area(region.memory, region.first, region.end - region.first, bytes_a_cell))
    return tuple(areas)
