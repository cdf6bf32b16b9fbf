"""Bounds of a ResMLP's dimensions where they are read: of recipes, network files and plans of a sign-off."""

from typing import Annotated

from msgspec import Meta

Dimension = Annotated[int, Meta(ge=1, le=4096)]
"""Tokens, values, channels or classes of a network that is made here."""

Blocks = Annotated[int, Meta(ge=1, le=256)]
"""Its blocks."""
