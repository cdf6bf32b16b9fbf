"""Takers: all that computes a model's taps by itself, each with what it is stated not to take."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from fxsim import temporary
from fxsim.contract import CHANNEL, INT8, ROW, TOKEN
from fxsim.contract.arithmetic import Integers
from fxsim.engines import run_reference
from fxsim.errors import FxsimError, StimulusError
from fxsim.formats import load, model_sha256, save
from fxsim.formats.onnx import export_onnx, missing, onnx_bytes, open_onnx
from fxsim.fuzz.picture_features import PICTURE_OPERATORS
from fxsim.graph import Graph, Model

Taps = Mapping[str, Integers]


class RoundTripError(FxsimError):
    """A file that gives back another model than was written."""


@dataclass(frozen=True)
class Subject:
    """A model and images for it; what several takers need is made once."""

    model: Model
    x: Integers

    @cached_property
    def onnx(self) -> bytes:
        """The model as an ONNX file."""
        return onnx_bytes(self.model)


@dataclass(frozen=True)
class Taker:
    """Something that computes every tap of a model. `group`: the word that asks for it.

    `refuses`: why it is stated not to take a graph, None where it is to take it: a refusal that is not stated is a
    failure, and so is no refusal where one is stated. `decides`: whether a graph is one of which nothing is stated:
    then a refusal by name is neither a failure nor a pass.
    """

    name: str
    group: str
    compute: Callable[[Subject], Taps]
    refuses: Callable[[Graph], str | None] = lambda _graph: None
    decides: Callable[[Graph], bool] = lambda _graph: False


def _reference(subject: Subject) -> Taps:
    return run_reference(subject.model.graph, subject.x, subject.model.graph.taps)


def _loops(subject: Subject) -> Taps:
    from fxsim.engines.loops import run_loops

    return run_loops(subject.model, subject.x, subject.model.graph.taps, 1)


def _compiled(isa: str) -> Callable[[Subject], Taps]:
    def compute(subject: Subject) -> Taps:
        from fxsim.engines.compiled import run_compiled

        return run_compiled(subject.model, subject.x, subject.model.graph.taps, 1, isa)

    return compute


def _c(subject: Subject) -> Taps:
    from fxsim.engines.c import run_c

    return run_c(subject.model, subject.x, subject.model.graph.taps)


def _onnx(subject: Subject) -> Taps:
    return open_onnx(subject.onnx)(subject.x)


def _onnx_file(subject: Subject) -> Taps:
    """The file that the export writes, which is to be what is computed in memory, executed just as it is written."""
    expected = subject.onnx
    with temporary.folder("fuzz-onnx") as folder:
        path = folder / "model.onnx"
        size = export_onnx(subject.model, path)
        data = path.read_bytes()
    if size != len(data) or data != expected:
        raise RoundTripError("the ONNX file is another one each time it is written")
    return open_onnx(data, optimise=False)(subject.x)


def _model_file(subject: Subject) -> Taps:
    """The model as its file gives it back, computed by the reference engine."""
    with temporary.folder("fuzz-model") as folder:
        path, again = folder / "model.safetensors", folder / "again.safetensors"
        save(subject.model, path)
        read = load(path)
        save(read, again)
        written = [hashlib.sha256(file.read_bytes()).hexdigest() for file in (path, again)]
    if read.graph != subject.model.graph or (read.name, read.provenance) != (
        subject.model.name,
        subject.model.provenance,
    ):
        raise RoundTripError("the model file gives back another model than was written")
    if written[0] != written[1] or model_sha256(read) != model_sha256(subject.model):
        raise RoundTripError("the model file is another one when what it gives is written again")
    return run_reference(read.graph, subject.x, read.graph.taps)


def of_pictures(graph: Graph) -> bool:
    """Whether a graph is a network of few bits, of which the compiled engine and the export to ONNX take some."""
    kinds = {type(node.op) for node in graph.nodes}
    return ROW in graph.input.axes or bool(kinds & {*PICTURE_OPERATORS})


def beyond_int8(graph: Graph) -> str | None:
    """The reason for which the compiled engine is stated not to take a graph: other than int8, 32-bit sums."""
    if of_pictures(graph):
        return None
    if any(tensor.number != INT8 for tensor in graph.tensors.values()):
        return "a tensor is not int8"
    if any(tensor.axes not in ((TOKEN, CHANNEL), (CHANNEL,)) for tensor in graph.tensors.values()):
        return "a tensor has other axes than tokens and channels"
    if any(getattr(node.op, "acc_bits", 0) > 32 for node in graph.nodes):
        return "an accumulator is stated wider than 32 bits"
    return None


GROUPS = {
    "reference": "the reference engine",
    "loops": "the plain loops",
    "compiled": "the compiled engine, on every instruction set of this machine",
    "c": "the C export, compiled here",
    "onnx": "ONNX Runtime: the graph as exported, and its file, executed without rewriting",
    "files": "the model file, written, read and computed",
}
"""Words that ask for takers, with what they are."""


def find_takers(groups: tuple[str, ...] = tuple(GROUPS)) -> tuple[tuple[Taker, ...], dict[str, str]]:
    """The takers of some groups in the order of `GROUPS`, and those that this machine has not, with the reason.

    StimulusError for a group that there is not, and where fewer than two takers are left: nothing would be compared.
    """
    for group in groups:
        if group not in GROUPS:
            raise StimulusError(f"there is no engine '{group}' to compare; there are: {', '.join(GROUPS)}")
    takers, absent = [], {}
    if "reference" in groups:
        takers.append(Taker("reference", "reference", _reference))
    if "loops" in groups:
        takers.append(Taker("loops", "loops", _loops))
    if "compiled" in groups:
        # Numba takes half a second to import.
        from fxsim.engines.compiled import instruction_sets

        takers += [
            Taker(f"compiled {isa.name}", "compiled", _compiled(isa.name), beyond_int8, of_pictures)
            for isa in instruction_sets()
        ]
    if "c" in groups:
        from fxsim.engines.c import missing_compiler

        if (reason := missing_compiler()) is None:
            takers.append(Taker("c", "c", _c))
        else:
            absent["c"] = reason
    if "onnx" in groups:
        if (reason := missing("onnx", "onnxruntime")) is None:
            takers += [
                Taker("onnx", "onnx", _onnx, decides=of_pictures),
                Taker("onnx file", "onnx", _onnx_file, decides=of_pictures),
            ]
        else:
            absent["onnx"] = reason
    if "files" in groups:
        takers.append(Taker("model file", "files", _model_file))
    if len(takers) < 2:
        raise StimulusError(f"{len(takers)} engine(s) are left of {', '.join(groups)}, expected two to compare")
    return tuple(takers), absent
