"""The streaming accelerator and its modules as designs to prove: each with the model's own parameters and constants."""

from collections.abc import Callable, Iterator, Mapping
from functools import partial

from fxsim.devices.provable import Beats, Places, Port, ProofFeed, ProofWatch, Provable
from fxsim.devices.stream.blocks import blocks
from fxsim.devices.stream.layout import OUTPUT, StreamLayout
from fxsim.devices.stream.nodes import module_of, module_parameters
from fxsim.devices.stream.roms import rom_files, rtl_parameters, stream_order
from fxsim.devices.stream.settings import StreamSettings
from fxsim.errors import ToolError
from fxsim.families import recognise_resmlp
from fxsim.graph import INPUT, Model
from fxsim.operators import Axis

_RESET = Port("rst")
_IN, _OUT = "s_axis", "m_axis"
_SPARE = 64
"""Cycles that the pipeline of a module may take beside its values."""
_OF_NODES = ("linear", "affine", "pool", "relu", "add", "activation_table")
_LANES = ("LANES", "PACKED")
_PASSING = ("axis_fifo", "axis_register", "axis_fork")


def proofs(model: Model, settings: StreamSettings, module: str | None) -> tuple[Provable, ...]:
    """The accelerator for a model, or every different instance of one of its modules.

    ModelError where the model does not fit it, ToolError where there is no such module.
    """
    makers: dict[str, Callable[[Model, StreamSettings], Iterator[Provable]]] = {
        **{name: partial(_nodes, module=name) for name in _OF_NODES},
        **{name: partial(_passing, top=name) for name in _PASSING},
        "transpose": _transposes,
        "token_mixer": _mixers,
        "mlp": _mlps,
    }
    if module is None:
        return (_whole(model, settings),)
    if module not in makers:
        known = ", ".join(sorted([*makers, *blocks(model, settings)]))
        raise ToolError(f"'{module}' is no module that is proved alone, expected one of: {known}")
    found: dict[object, Provable] = {}
    for provable in makers[module](model, settings):
        key = provable.top, *sorted(provable.parameters.items()), *sorted(provable.files.items())
        found.setdefault(key, provable)
    if not found:
        raise ToolError(f"model '{model.name}' has no '{module}'")
    return tuple(found.values())


def _whole(model: Model, settings: StreamSettings) -> Provable:
    layout, lanes = StreamLayout(model, model.graph.taps), settings.beat
    monitors = _monitors(model, model.graph.taps, lanes)
    last, zero = Port(f"{_OUT}_tlast"), Port(f"{_OUT}_tuser")
    places = _places(model, model.graph.output)
    output = ProofWatch(
        OUTPUT, model.graph.output, *_stream(_OUT, lanes), places, same=True, last=last, zero=zero,
        beats=_beats(places, lanes),
    )  # fmt: skip
    # Beats of an image at the busiest stream, and what the longest way through takes.
    beats = max(layout.size(tap) for tap in model.graph.taps)
    return Provable(
        name="stream_resmlp",
        top="stream_resmlp",
        parameters=rtl_parameters(model, settings),
        files=rom_files(model),
        feeds=(_feed(model, INPUT, lanes, last=Port(f"{_IN}_tlast")),),
        watches=(*monitors, output),
        reset=_RESET,
        takes=(Port(f"{_OUT}_tready"),),
        quiet=(Port("frame_error_early"), Port("frame_error_late")),
        idle=2 * max(beats, layout.input_size) + _SPARE,
        whole=True,
    )


def _nodes(model: Model, settings: StreamSettings, module: str) -> Iterator[Provable]:
    """A module that computes one operator, for each of the model's that it computes."""
    for node in model.graph.nodes:
        top = module_of(node)
        if top != module:
            continue
        parameters, files = module_parameters(model, node, settings)
        prefixes = (_IN,) if len(node.inputs) == 1 else ("s0_axis", "s1_axis")
        named = zip(node.inputs, prefixes, strict=True)
        feeds = tuple(_feed(model, name, settings.beat, prefix, like=node.name) for name, prefix in named)
        places = _places(model, node.name)
        watch = ProofWatch(
            node.name, node.name, *_stream(_OUT, settings.beat), places, beats=_beats(places, settings.beat)
        )
        yield _module(model, f"{top} ({node.name})", top, parameters, files, feeds, (watch,))


def _transposes(model: Model, settings: StreamSettings) -> Iterator[Provable]:
    config, lanes = recognise_resmlp(model.graph), settings.beat
    for block in range(config.blocks):
        mixer = f"blocks.{block}.token_mixer"
        for tap, rows, columns in (
            (f"{mixer}.affine_1", config.tokens, config.channels),
            (f"{mixer}.linear", config.channels, config.tokens),
        ):
            order = _places(model, tap)
            turned = tuple(order[r * columns + c] for c in range(columns) for r in range(rows))
            watch = ProofWatch(
                f"{tap}, transposed", tap, *_stream(_OUT, lanes), turned, same=True, beats=_beats(turned, lanes)
            )
            parameters = {"ROWS": rows, "COLS": columns, **({} if lanes == 1 else {"LANES": lanes})}
            yield _module(
                model, f"transpose ({rows} x {columns})", "transpose", parameters, {}, (_feed(model, tap, lanes),),
                (watch,),
            )  # fmt: skip


def _mixers(model: Model, settings: StreamSettings) -> Iterator[Provable]:
    config, of_top = recognise_resmlp(model.graph), rtl_parameters(model, settings)
    for block in range(config.blocks):
        parameters = {
            "TOKENS": config.tokens,
            "CHANNELS": config.channels,
            "ACC_W": of_top["MIX_ACC_W"],
            "BLOCK": block,
            **{name: of_top[name] for name in _LANES},
        }
        yield _part(model, settings, "token_mixer", f"blocks.{block}.token_mixer.", parameters)


def _mlps(model: Model, settings: StreamSettings) -> Iterator[Provable]:
    config, of_top = recognise_resmlp(model.graph), rtl_parameters(model, settings)
    names = ("CHANNELS", "HIDDEN", "PSA", "POINTS", "TABLE_RULE", "LINEAR_1_ACC_W", "LINEAR_2_ACC_W", *_LANES)
    for block in range(config.blocks):
        parameters = {name: of_top[name] for name in names} | {"BLOCK": block}
        yield _part(model, settings, "mlp", f"blocks.{block}.mlp.", parameters)


def _part(model: Model, settings: StreamSettings, top: str, prefix: str, parameters: Mapping[str, int]) -> Provable:
    """A module with monitors of its own: those of the taps whose names begin so, then its output, the last of them."""
    taps = tuple(tap for tap in model.graph.taps if tap.startswith(prefix))
    source = model.graph.by_name[taps[0]].inputs[0]
    places, lanes = _places(model, taps[-1]), settings.beat
    output = ProofWatch(OUTPUT, taps[-1], *_stream(_OUT, lanes), places, same=True, beats=_beats(places, lanes))
    name = f"{top} ({prefix.rstrip('.')})"
    feeds = (_feed(model, source, lanes),)
    return _module(model, name, top, parameters, rom_files(model), feeds, (*_monitors(model, taps, lanes), output))


def _passing(model: Model, settings: StreamSettings, top: str) -> Iterator[Provable]:
    """A module that passes beats on as they are."""
    tap, lanes = model.graph.taps[0], settings.beat
    outputs = ("m0_axis", "m1_axis") if top == "axis_fork" else (_OUT,)
    parameters = {"DEPTH": 7} if top == "axis_fifo" else {}
    parameters |= {} if lanes == 1 else {"DATA_W": 8 * lanes}
    places = _places(model, tap)
    watches = tuple(
        ProofWatch(f"{tap} at {prefix}", tap, *_stream(prefix, lanes), places, same=True, beats=_beats(places, lanes))
        for prefix in outputs
    )
    yield _module(model, top, top, parameters, {}, (_feed(model, tap, lanes),), watches)


def _module(
    model: Model,
    name: str,
    top: str,
    parameters: Mapping[str, int | str],
    files: Mapping[str, bytes],
    feeds: tuple[ProofFeed, ...],
    watches: tuple[ProofWatch, ...],
) -> Provable:
    readies = dict.fromkeys(watch.ready for watch in watches if watch.ready is not None)
    takes = tuple(ready for ready in readies if ready.name.endswith("_tready"))
    beats = max(len(feed.order) for feed in feeds)
    widest = max((len(watch.order) for watch in watches), default=0)
    idle = 2 * max(beats, widest, max(model.graph.shapes[INPUT])) + _SPARE
    return Provable(name, top, parameters, files, feeds, watches, _RESET, takes, (), idle)


def _monitors(model: Model, taps: tuple[str, ...], lanes: int) -> tuple[ProofWatch, ...]:
    width = 8 * lanes
    found = []
    for i, tap in enumerate(taps):
        ports = Port("mon_data", width * i, width), Port("mon_valid", i), Port("mon_ready", i)
        places = _places(model, tap)
        found.append(ProofWatch(tap, tap, *ports, places, beats=_beats(places, lanes)))
    return tuple(found)


def _beats(places: Places, lanes: int) -> Beats | None:
    return None if lanes == 1 else Beats(lanes, (lanes,) * (len(places) // lanes))


def _feed(
    model: Model, tensor: str, lanes: int, prefix: str = _IN, last: Port | None = None, like: str | None = None
) -> ProofFeed:
    """An input that carries a tensor, in the order in which the tap `like` streams where one is named."""
    order = _places(model, tensor)
    if like is not None and len(model.graph.shapes[tensor]) == 2:
        tokens, channels = model.graph.shapes[tensor]
        order = tuple((token, channel) for token in range(tokens) for channel in range(channels))
        if stream_order(model, like) is Axis.CHANNELS:
            order = tuple((token, channel) for channel in range(channels) for token in range(tokens))
    return ProofFeed(*_stream(prefix, lanes), tensor, order, last, _beats(order, lanes))


def _places(model: Model, tensor: str) -> Places:
    """Token and channel of each value of a tensor, in the order in which it streams."""
    if tensor == INPUT:
        tokens, values = model.graph.input_shape
        return tuple((token, value) for token in range(tokens) for value in range(values))
    layout = StreamLayout(model, model.graph.taps)
    return tuple(layout.place(tensor, i) for i in range(layout.size(tensor)))


def _stream(prefix: str, lanes: int) -> tuple[Port, Port, Port]:
    return Port(f"{prefix}_tdata", 0, 8 * lanes), Port(f"{prefix}_tvalid"), Port(f"{prefix}_tready")
