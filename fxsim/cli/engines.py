"""The option that names an engine."""

from typing import Any

import click

from fxsim.engines import ENGINE_NAMES, Engine


class EngineChoice(click.Choice[str]):
    """The name of an engine. The compiled one has two: `compiled`, and `numba`, which records state."""

    def __init__(self) -> None:
        super().__init__(ENGINE_NAMES)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The name that records state."""
        return str(Engine(super().convert(value, param, ctx)))
