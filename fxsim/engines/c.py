"""The engine `c`: a model's C export, compiled by this machine's C compiler and run as a program of its own.

The arithmetic is stated in C99 anew (`fxsim.formats.c`), and shares nothing with the other engines. A graph is compiled
once a process, into a temporary folder that goes with the graph; nothing is kept for other processes, so that nothing
stale can be run.
"""

import os
import shutil
import subprocess
import threading
import weakref
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from fxsim import process, temporary
from fxsim.contract.arithmetic import Integers
from fxsim.errors import ToolError
from fxsim.formats.c import c_files, raw_images
from fxsim.graph import Graph, Model

_NAME = "network"
"""The name that every program's network has in C."""

_FLAGS = ("-std=c99", "-O2")

_BUILD_SECONDS_MAX = 600

_by_graph: dict[int, Path] = {}
"""Programs by their graph's identity: graphs and their arrays cannot change."""

_building = threading.Lock()


def missing_compiler() -> str | None:
    """The reason why nothing can be compiled from C here, or None where something can."""
    name = compiler_name()
    return None if shutil.which(name) else f"there is no C compiler '{name}' here: the Debian package 'gcc' has one"


def compiler_name() -> str:
    """The C compiler: the one that CC in the environment names, by default `cc`."""
    return os.environ.get("CC") or "cc"


def prepare_c(model: Model) -> Path:
    """The program of a model, compiled now where this process did not yet.

    ModelError where C does not take the model; ToolError where there is no compiler, or it does not compile.
    """
    graph = model.graph
    with _building:
        if id(graph) not in _by_graph:
            _by_graph[id(graph)] = _build(model)
        return _by_graph[id(graph)]


def run_c(model: Model, x: Integers, taps: tuple[str, ...]) -> dict[str, Integers]:
    """Every named tap for images `x` [image, ...]: [image, ...] each, of its tensor's shape and numpy type.

    ModelError and ToolError as `prepare_c`; ToolError where the program fails, or does not give as many values.
    """
    tensors = model.graph.tensors
    if len(x) == 0:
        return {name: tensors[name].empty(0) for name in taps}
    program = prepare_c(model)
    # Without any name, the program gives all: as many names as there may be are no command line.
    wanted = () if set(taps) == set(model.graph.taps) else taps
    with temporary.folder("c-run") as folder:
        images, out = folder / "images.bin", folder / "taps.bin"
        images.write_bytes(raw_images(x))
        done = process.run([program, images, out, *wanted])
        if done.returncode != 0:
            raise ToolError(f"the C program of model '{model.name}' failed: {_last_line(done)}")
        data = np.fromfile(out, np.uint8)
    order = [name for name in model.graph.taps if name in taps]
    ends = np.cumsum([tensors[name].nbytes for name in order]).tolist()
    if data.size != len(x) * ends[-1]:
        raise ToolError(
            f"the C program of model '{model.name}' gave {data.size:,} bytes, expected {len(x) * ends[-1]:,}"
        )
    parts = np.split(data.reshape(len(x), ends[-1]), ends[:-1], axis=1)
    return {name: _values(dict(zip(order, parts, strict=True))[name], model.graph, name) for name in taps}


def _values(part: Integers, graph: Graph, name: str) -> Integers:
    """A tap's values from the bytes that the program gave of it, [image, byte]."""
    tensor = graph.tensors[name]
    stored = np.ascontiguousarray(part).view(tensor.number.dtype.newbyteorder("<"))
    values: Integers = stored.astype(tensor.number.dtype).reshape(len(part), *tensor.shape)
    return values


def _build(model: Model) -> Path:
    """Compile a model's program into a folder that is removed with the model's graph, or as this process ends."""
    texts = c_files(model, _NAME)
    reason = missing_compiler()
    if reason is not None:
        raise ToolError(reason)
    with ExitStack() as stack:
        folder = stack.enter_context(temporary.folder("c-engine"))
        for file, text in texts.items():
            (folder / file).write_text(text, encoding="ascii")
        sources = (f"{_NAME}.c", f"{_NAME}_main.c")
        command = [compiler_name(), *_FLAGS, "-o", _NAME, *sources]
        try:
            # A compiler that is killed leaves its own temporary files.
            done = process.run(
                command, timeout=_BUILD_SECONDS_MAX, cwd=folder, env=os.environ | {"TMPDIR": str(folder)}
            )
        except subprocess.TimeoutExpired:
            raise ToolError(f"'{command[0]}' was still compiling after {_BUILD_SECONDS_MAX} s") from None
        if done.returncode != 0:
            raise ToolError(f"the C of model '{model.name}' does not compile: {_last_line(done)}")
        _remove_later(model.graph, stack.pop_all())
    return folder / _NAME


def _remove_later(graph: Graph, folder: ExitStack) -> None:
    weakref.finalize(graph, folder.close)
    forgotten = weakref.finalize(graph, _by_graph.pop, id(graph), None)
    forgotten.atexit = False


def _last_line(done: "subprocess.CompletedProcess[str]") -> str:
    """The error that a program ended with, in its own words."""
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line]
    return (errors or lines or [f"it ended with status {done.returncode} and said nothing"])[-1]
