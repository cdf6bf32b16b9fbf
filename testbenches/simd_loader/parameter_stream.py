"""Parameter streams of the SIMD accelerator, written from their description, and where each of their words belongs.

The layers need not make a sensible network: only what a loader can see of them counts.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice, repeat

import numpy as np

NONE, AFFINE, RELU, TABLE = range(4)
CLAMP, HOLD, ENDPOINT = range(3)

SIZES = {
    "ACTIVATION_WORDS": 128,
    "IMAGE_WORDS": 64,
    "RESIDUAL_WORDS": 32,
    "WEIGHT_WORDS": 128,
    "TABLE_WORDS": 64,
    "CONSTANT_GROUPS": 2,
    "CHUNKS": 4,
    "LAYERS": 8,
    "ACC_W": 26,
}
"""Small sizes of an accelerator, so that streams soon go round the rings."""


@dataclass(frozen=True)
class Layer:
    """The fields of a descriptor; `words` None: as many as the other fields make."""

    number: int
    tokens: int
    in_groups: int
    groups: int
    token_mixing: int = 0
    affine: int = 0
    add: int = 0
    res_affine: int = 0
    pool: int = 0
    first: int = 0
    last: int = 0
    next: int = NONE
    rule: int = CLAMP
    points_log2: int = 0
    pool_shift: int = 0
    words: int | None = None
    magic: int = 0xD5
    bit_15: int = 0
    bits_28: int = 0

    @property
    def chunks(self) -> int:
        """Groups of 16 output channels or, where tokens are mixed, of tokens."""
        return -(-self.tokens // 16) if self.token_mixing else self.groups

    @property
    def weights(self) -> int:
        """Words of weights of a chunk."""
        return 16 * (-(-self.tokens // 16) if self.token_mixing else self.in_groups)

    @property
    def constants(self) -> list[int]:
        """Bits of `constant_write` in the order of the words."""
        active = [self.affine, self.res_affine, self.next == AFFINE]
        return [1 << (3 * stage + field) for stage in range(3) if active[stage] for field in range(3)]

    @property
    def table(self) -> int:
        """Words of a group's table."""
        if self.next != TABLE:
            return 0
        return (1 << self.points_log2) + (2 if self.rule == ENDPOINT else 0)

    @property
    def following(self) -> int:
        """Words behind the descriptor."""
        return self.chunks * (2 + self.weights) + self.groups * (len(self.constants) + self.table)

    @property
    def descriptor(self) -> int:
        """The layer's first word."""
        fields = [
            (self.magic, 8), (self.token_mixing, 1), (self.affine, 1), (self.add, 1), (self.res_affine, 1),
            (self.pool, 1), (self.first, 1), (self.last, 1), (self.bit_15, 1), (self.next, 2), (self.rule, 2),
            (self.points_log2, 4), (self.pool_shift, 4), (self.bits_28, 4), (self.tokens, 16), (self.in_groups, 16),
            (self.groups, 16), (self.following if self.words is None else self.words, 32), (self.number, 16),
        ]  # fmt: skip
        word = at = 0
        for value, width in fields:
            assert 0 <= value < 1 << width
            word |= value << at
            at += width
        assert at == 128
        return word

    def kinds(self) -> Iterator[str]:
        """What each word behind the descriptor is; `chunk` and `group` are the ends of these and no words."""
        constants = [f"constant {bit}" for bit in self.constants]

        def chunk() -> Iterator[str]:
            yield from chain(("bias", "shift"), repeat("weight", self.weights), ("chunk",))

        def group() -> Iterator[str]:
            yield from chain(constants, repeat("table", self.table), ("group",))

        if self.token_mixing:
            for _ in range(self.chunks):
                yield from chunk()
        for _ in range(self.groups):
            if not self.token_mixing:
                yield from chunk()
            yield from group()


@dataclass(frozen=True)
class Write:
    """A word on its way to a ring: which, its place, the word."""

    kind: str
    address: int
    word: int


class Stream:
    """A stream of layers with random words, and what a loader is to make of it, several times over.

    With `begun` no more than so many words, and ends of chunks and groups, of the last layer are listed: of one that is
    far larger than is simulated.
    `writes`: all writes. `chunks`, `groups`: by number of the chunk or group, the number of writes up to its end;
    `chunk_weights`, `group_tables`: the words each takes of its ring.
    """

    def __init__(
        self,
        layers: Sequence[Layer],
        rng: np.random.Generator,
        sizes: Mapping[str, int],
        passes: int = 1,
        begun: int | None = None,
    ) -> None:
        self.layers = list(layers)
        self.places: list[int] = []
        """By number of the layer, the place of its descriptor in the stream; then the stream's end."""
        self.words: list[int] = []
        kinds: list[str] = []
        for layer in layers:
            self.places.append(len(self.words))
            self.words.append(layer.descriptor)
            kinds.append("descriptor")
            for kind in islice(layer.kinds(), begun if layer is layers[-1] else None):
                kinds.append(kind)
                if kind not in ("chunk", "group"):
                    self.words.append(int.from_bytes(rng.bytes(16), "little"))
        self.places.append(len(self.words))
        self.descriptors = [layer.descriptor for layer in layers] * passes
        self.writes: list[Write] = []
        self.chunks: list[int] = []
        self.groups: list[int] = []
        self.chunk_weights: list[int] = []
        self.group_tables: list[int] = []
        self.last_groups: list[int] = []
        """By number of the chunk, that of the last group that it is used with."""
        weights = tables = 0
        for _ in range(passes):
            words = iter(self.words)
            group_base = len(self.groups)
            at_layer = -1
            for kind in kinds:
                if kind == "descriptor":
                    next(words)
                    at_layer += 1
                    group_base = len(self.groups)
                    continue
                layer = self.layers[at_layer]
                if kind == "chunk":
                    self.chunks.append(len(self.writes))
                    self.chunk_weights.append(layer.weights)
                    self.last_groups.append(group_base + layer.groups - 1 if layer.token_mixing else len(self.groups))
                    continue
                if kind == "group":
                    self.groups.append(len(self.writes))
                    self.group_tables.append(layer.table)
                    continue
                if kind == "weight":
                    address = weights % sizes["WEIGHT_WORDS"]
                    weights += 1
                elif kind == "table":
                    address = tables % sizes["TABLE_WORDS"]
                    tables += 1
                elif kind in ("bias", "shift"):
                    address = len(self.chunks) % sizes["CHUNKS"]
                else:
                    address = len(self.groups) % sizes["CONSTANT_GROUPS"]
                self.writes.append(Write(kind, address, next(words)))
            assert next(words, None) is None


def numbered(layers: Sequence[Layer]) -> list[Layer]:
    """The layers with their numbers, and first and last marked."""
    return [
        replace(layer, number=n, first=int(n == 0), last=int(n == len(layers) - 1)) for n, layer in enumerate(layers)
    ]


def network() -> list[Layer]:
    """Layers that fit SIZES and between them have every kind of stage, table and group; result: 2 words."""
    return numbered(
        [
            Layer(0, 8, 2, 3, res_affine=1, next=AFFINE),
            Layer(0, 8, 3, 3, token_mixing=1, affine=1, add=1, res_affine=1, next=TABLE, rule=CLAMP, points_log2=2),
            Layer(0, 8, 3, 2, next=TABLE, rule=HOLD, points_log2=5),
            Layer(0, 8, 2, 3, next=RELU),
            Layer(0, 8, 3, 3, add=1, res_affine=1, next=AFFINE),
            Layer(0, 8, 3, 3, token_mixing=1),
            Layer(0, 8, 3, 4, add=1, next=TABLE, rule=ENDPOINT, points_log2=4),
            Layer(0, 8, 4, 1, add=1, pool=1, pool_shift=3),
            Layer(0, 1, 1, 2),
        ]
    )


def wide_network() -> list[Layer]:
    """Layers with several chunks of tokens; result: 1 word. Fits the rings of SIZES, to their last word."""
    return numbered(
        [
            Layer(0, 32, 1, 1, res_affine=1, next=AFFINE),
            Layer(0, 32, 1, 1, token_mixing=1, affine=1, add=1, res_affine=1, next=TABLE, rule=HOLD, points_log2=6),
            Layer(0, 32, 1, 2, next=TABLE, rule=CLAMP, points_log2=3),
            Layer(0, 32, 2, 1, add=1, pool=1, pool_shift=5),
            Layer(0, 1, 1, 8, next=AFFINE),
            Layer(0, 1, 8, 8, next=RELU),
            Layer(0, 1, 8, 1),
        ]
    )
