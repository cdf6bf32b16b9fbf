"""A memory image on disk: the words, an address map as JSON, and a C header for whoever writes a driver."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from fxsim.contract.arithmetic import Int8
from fxsim.devices.simd.memory_image import LANES, Buffers, MemoryImage, build_memory_image, pack_images
from fxsim.devices.simd.registers import (
    ACCELERATOR_ID,
    ERROR_CODE_MASK,
    ERROR_LAYER_SHIFT,
    Control,
    ErrorCode,
    Register,
    Status,
)
from fxsim.errors import FileError
from fxsim.formats import atomic_write, model_sha256
from fxsim.formats.c.names import STEM, STEM_LENGTH_MAX, c_string, shown, stem_of
from fxsim.graph import Model

MAP_FORMAT = "fxsim.memory-image"
MAP_VERSION = 1
"""The version that an address map states, beside its format."""

_IMAGES_AT_A_TIME = 1024


@dataclass(frozen=True)
class MemoryFiles:
    """The written memory image, and paths by what they hold: `parameters`, `map`, `header`, perhaps `images`."""

    image: MemoryImage
    paths: Mapping[str, Path]


def write_memory_image(
    model: Model,
    folder: str | os.PathLike[str],
    buffers: Buffers | None = None,
    *,
    images: Int8 | None = None,
    name: str | None = None,
) -> MemoryFiles:
    """Write a ResMLP's memory image into a folder: NAME.bin, its address map NAME.json, and NAME.h for C.

    `images`, int8 [image, token, value], go to NAME_images.bin, one behind the other. `name` is by default made from
    the model's. All files appear together, when they are complete. ModelError where the model does not fit
    `buffers`, StimulusError where the images do not fit the model, FileError for an illegal name or where the system
    refuses.
    """
    if name is not None and not STEM.match(name):
        raise FileError(
            f"memory image cannot be called {name[:100]!r}, expected 1 to {STEM_LENGTH_MAX} letters, digits and "
            "underscores"
        )
    stem = name or stem_of(model.name)
    image = build_memory_image(model, buffers)
    if images is not None:
        images = model.check_stimulus(images)
    folder = Path(folder)
    files = {"parameters": f"{stem}.bin", "map": f"{stem}.json", "header": f"{stem}.h"}
    if images is not None:
        files["images"] = f"{stem}_images.bin"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"cannot write {folder}: {error.strerror or error}") from None
    paths = {what: folder / file for what, file in files.items()}
    count = None if images is None else len(images)
    with ExitStack() as stack:
        temporary = {what: stack.enter_context(atomic_write(path)) for what, path in paths.items()}
        temporary["parameters"].write_bytes(image.to_bytes())
        text = msgspec.json.format(msgspec.json.encode(address_map(image, files, model_sha256(model), count)))
        temporary["map"].write_bytes(text + b"\n")
        temporary["header"].write_text(format_driver_header(image, stem, count), encoding="ascii")
        if images is not None:
            with temporary["images"].open("wb") as file:
                for first in range(0, len(images), _IMAGES_AT_A_TIME):
                    file.write(pack_images(model, images[first : first + _IMAGES_AT_A_TIME]).data)
    return MemoryFiles(image, MappingProxyType(paths))


def address_map(image: MemoryImage, files: Mapping[str, str], sha256: str, images: int | None = None) -> dict[str, Any]:
    """All that a driver must know, as JSON holds it: sizes, registers, errors, and where each parameter lies.

    `files`: names by what they hold. `sha256`: the model's. `images`: how many images were packed, if any were.
    Offsets and sizes are in bytes, offsets counted from the first byte of the parameters.
    """
    config = image.config
    record: dict[str, Any] = {
        "format": MAP_FORMAT,
        "version": MAP_VERSION,
        "model": {
            "name": shown(image.name),
            "sha256": sha256,
            "tokens": config.tokens,
            "values": config.values,
            "classes": config.classes,
        },
        "files": dict(files),
        "parameters": {
            "words": len(image.words),
            "bytes": image.words.nbytes,
            "sha256": hashlib.sha256(image.words.data).hexdigest(),
        },
        "image": {"words": image.image_words, "bytes": image.image_words * LANES, "packed": images},
        "result": {"words": image.result_words, "bytes": image.result_words * LANES},
        "requires": dict(image.requires),
        "keep_requires": dict(image.needs),
        "accelerator": {
            "top": "simd_resmlp",
            "parameters": image.buffers.parameters(),
            "keeps": image.keeps,
            "id": ACCELERATOR_ID,
            "registers": [
                {"name": r.name, "offset": int(r), "access": str(r.access), "text": r.text} for r in Register
            ],
            "control_bits": {bit.name: int(bit) for bit in Control},
            "status_bits": {bit.name: int(bit) for bit in Status},
            "errors": [{"code": int(code), "name": code.name, "text": code.text} for code in ErrorCode],
        },
        "layers": [
            {
                "number": layer.number,
                "name": layer.name,
                "stages": dict(layer.stages),
                "offset": layer.first_word * LANES,
                "bytes": layer.words * LANES,
                "token_mixing": layer.token_mixing,
                "tokens": layer.tokens,
                "in_groups": layer.in_groups,
                "groups": layer.groups,
                "k": layer.k,
                "outputs": layer.outputs,
                "sections": [
                    {
                        "kind": section.kind,
                        "tap": section.tap,
                        "group": section.group,
                        "of": "tokens" if section.over_tokens else "channels",
                        "offset": section.first_word * LANES,
                        "bytes": section.words * LANES,
                    }
                    for section in layer.sections
                ],
            }
            for layer in image.layers
        ],
    }
    return record


def format_driver_header(image: MemoryImage, stem: str, images: int | None = None) -> str:
    """The C header of a memory image: macros only, C99, ASCII. `stem` names it and is legal in an identifier.

    Macros of the accelerator begin with `FXSIM_SIMD_` and are the same in every such header; those of the model begin
    with `FXSIM_MODEL_` and the stem in capitals. `images`: how many images were packed, if any were.
    """
    assert STEM.match(stem)
    guard = f"FXSIM_MEMORY_IMAGE_{stem.upper()}_H"
    lines = [
        "/* Memory image of a model for the SIMD accelerator, written by fxsim: see docs/memory-image.md there. */",
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
        *_accelerator_macros(),
        "",
        *_model_macros(image, f"FXSIM_MODEL_{stem.upper()}", images),
        "",
        "#endif",
    ]
    return "".join(f"{line}\n" for line in lines)


def _accelerator_macros() -> Iterator[str]:
    yield "/* Registers: byte offsets, 32 bits each. */"
    for register in Register:
        yield f"#define FXSIM_SIMD_REG_{register.name} 0x{register:02x}u /* {register.text} */"
    yield ""
    yield "/* What ID reads, and bits of CONTROL, STATUS and ERROR. */"
    yield f"#define FXSIM_SIMD_ID 0x{ACCELERATOR_ID:08x}u"
    for bits in (Control, Status):
        for bit in bits:
            yield f"#define FXSIM_SIMD_{bits.__name__.upper()}_{bit.name} 0x{1 << bit:x}u"
    yield f"#define FXSIM_SIMD_ERROR_CODE_MASK 0x{ERROR_CODE_MASK:x}u"
    yield f"#define FXSIM_SIMD_ERROR_LAYER_SHIFT {ERROR_LAYER_SHIFT}"
    yield ""
    yield "/* Error codes. */"
    for code in ErrorCode:
        yield f"#define FXSIM_SIMD_ERROR_{code.name} {code}u /* {code.text} */"


def _model_macros(image: MemoryImage, prefix: str, images: int | None) -> Iterator[str]:
    config = image.config
    yield "/* The model. */"
    yield f"#define {prefix}_NAME {c_string(shown(image.name))}"
    yield f"#define {prefix}_TOKENS {config.tokens}u"
    yield f"#define {prefix}_VALUES {config.values}u"
    yield f"#define {prefix}_CLASSES {config.classes}u"
    yield ""
    yield "/* Its parameters, an image and a result, in words of 16 bytes and in bytes. */"
    sizes = {"PARAM": len(image.words), "IMAGE": image.image_words, "RESULT": image.result_words}
    for what, words in sizes.items():
        yield f"#define {prefix}_{what}_WORDS {words}u"
        yield f"#define {prefix}_{what}_BYTES {words * LANES}u"
    yield f'#define {prefix}_PARAM_SHA256 "{hashlib.sha256(image.words.data).hexdigest()}"'
    if images is not None:
        yield f"#define {prefix}_IMAGES {images}u /* packed, one behind the other */"
    yield ""
    yield "/* The least that the accelerator must be built with: to run the model, and to keep its parameters. */"
    for name, size in image.requires.items():
        yield f"#define {prefix}_REQUIRES_{name} {size}u"
    for name, size in image.needs.items():
        yield f"#define {prefix}_KEEP_REQUIRES_{name} {size}u"
    yield ""
    yield "/* Layers: bytes from the beginning of the parameters, and bytes. */"
    for layer in image.layers:
        yield f"#define {prefix}_LAYER_{layer.number}_OFFSET {layer.first_word * LANES}u /* {layer.name} */"
        yield f"#define {prefix}_LAYER_{layer.number}_BYTES {layer.words * LANES}u"
