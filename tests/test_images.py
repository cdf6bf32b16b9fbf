"""Images for a model: from samples in headers, and from pictures."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import fxsim
from fxsim.cli import main
from fxsim.data import DataSource, load_data
from fxsim.data.input_format import InputFormat
from fxsim.families import ResMLPConfig, build_resmlp, resmlp_parameters
from fxsim.formats import load, save
from fxsim.formats.headers import export_headers
from fxsim.graph import Model
from fxsim.paths import golden_dir

Images = np.ndarray[Any, Any]


def model(tokens: int, values: int, **provenance: str) -> Model:
    """A model of zeros that takes such images."""
    config = ResMLPConfig(tokens, values, 5, 6, 1, 7)
    zeros = {
        name: np.zeros(shape, np.uint8 if name.endswith(".shift") else np.int8)
        for name, shape in resmlp_parameters(config).items()
    }
    return Model(build_resmlp(config, zeros), "small", provenance)


def write_samples(path: Path, array: Images, name: str = "samples_input", kind: str = "ap_int<8>") -> Path:
    """A header with one array."""
    dims = "".join(f"[{n}]" for n in array.shape)
    values = json.dumps(array.tolist()).replace("[", "{").replace("]", "}")
    path.write_text(f"const {kind} {name}{dims} = {values};\n")
    return path


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Any:
    """Runs `fxsim images` in this process; gives its status and what it printed."""

    def run(*args: str | Path) -> tuple[int, str, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as caught:
            main(["images", *(str(arg) for arg in args)])
        out, err = capfd.readouterr()
        assert isinstance(caught.value.code, int)
        return caught.value.code, out, err

    return run


IMAGES = np.random.default_rng(8).integers(-128, 128, (3, 4, 6)).astype(np.int8)


# --- samples in headers ---


@pytest.mark.parametrize("layout", ["token-value", "value-token"])
@pytest.mark.parametrize("asked", ["auto", "the same"])
@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("where", ["beside", "given"])
def test_samples_become_images(layout: str, asked: str, count: int, where: str, call: Any, tmp_path: Path) -> None:
    """Images come as the model takes them, whichever way the header has them, one or several."""
    array = IMAGES[0] if count == 1 else IMAGES
    array = array.swapaxes(-1, -2) if layout == "value-token" else array
    write_samples(tmp_path / "quant_samples.h", array)
    if where == "beside":
        export_headers(model(4, 6), tmp_path)
        more: tuple[str | Path, ...] = ()
    else:
        save(model(4, 6), tmp_path / "m.safetensors")
        more = ("--model", tmp_path / "m.safetensors")
    if asked == "the same":
        more = (*more, "--layout", layout)
    status, out, err = call(tmp_path, "-o", tmp_path / "x.npy", "--json", *more)
    assert (status, err) == (0, "")
    found = np.load(tmp_path / "x.npy")
    assert found.dtype == np.int8
    assert np.array_equal(found, IMAGES[:count])
    content = json.loads(out)
    assert (content["images"], content["tokens"], content["values"]) == (count, 4, 6)
    assert content["layout"] == layout
    assert content["model"] == (tmp_path.name if where == "beside" else "small")


def test_a_part_of_the_images_and_another_array(call: Any, tmp_path: Path) -> None:
    """--images takes a range, --array another array, and a header without a model is taken as it is."""
    header = write_samples(tmp_path / "s.h", IMAGES, "others")
    status, out, _ = call(header, "-o", tmp_path / "x.npy", "--array", "others", "--images", "1:")
    assert status == 0
    assert "2 images of 4 tokens x 6 values" in out
    assert "fits no model that was looked at" in out
    assert np.array_equal(np.load(tmp_path / "x.npy"), IMAGES[1:])


SQUARE = np.zeros((2, 4, 4), np.int8)
BAD: dict[str, tuple[Images, str, tuple[str, ...], Model | None, str]] = {
    "other tokens": (IMAGES, "ap_int<8>", (), model(8, 6), r"\[3\]\[4\]\[6\], expected images of 8 tokens of 6 values"),
    "the other layout": (IMAGES, "ap_int<8>", ("--layout", "value-token"), model(4, 6), "in layout 'value-token'"),
    "as many tokens as values": (SQUARE, "ap_int<8>", (), model(4, 4), "as many tokens as values.*give the layout"),
    "one image and no model": (IMAGES[0], "ap_int<8>", (), None, "no model says what is what"),
    "without a sign": (np.abs(IMAGES // 2), "ap_uint<8>", (), model(4, 6), "is uint8"),
    "one dimension": (IMAGES[0, 0], "ap_int<8>", (), model(4, 6), r"is int8 \[6\]"),
    "no such array": (IMAGES, "ap_int<8>", ("--array", "x"), model(4, 6), "no array 'x', expected one of: samples_in"),
    "images beyond the last": (IMAGES, "ap_int<8>", ("--images", "2:4"), model(4, 6), "images 2:4 .* there are 3"),
    "no images": (IMAGES, "ap_int<8>", ("--images", "2:2"), model(4, 6), "images 2:2"),
}


@pytest.mark.parametrize("case", BAD)
def test_samples_that_do_not_fit_are_refused(case: str, call: Any, tmp_path: Path) -> None:
    """Status 1, one line, and nothing written."""
    array, kind, options, fits, message = BAD[case]
    header = write_samples(tmp_path / "s.h", array, kind=kind)
    if fits is not None:
        save(fits, tmp_path / "m.safetensors")
        options = (*options, "--model", str(tmp_path / "m.safetensors"))
    status, out, err = call(header, "-o", tmp_path / "x.npy", *options)
    assert (status, out) == (1, "")
    assert err.count("\n") == 1
    assert re.search(message, err), err
    assert not (tmp_path / "x.npy").exists()


def test_options_that_exclude_each_other(call: Any, tmp_path: Path) -> None:
    """Status 2 where options of headers and of pictures meet, and where pictures have no model."""
    for args in (
        ("--patches",),
        ("--mean", "1"),
        ("b.h",),
        ("--patches", "--model", "m", "--array", "x"),
        ("--mean", "a"),
    ):
        assert call("a.h", "-o", tmp_path / "x.npy", *args)[0] == 2


@pytest.mark.parametrize("name", ["a.npy", "a.PNG", "b.jpeg"])
def test_pictures_without_their_option_are_called_pictures(name: str, call: Any, tmp_path: Path) -> None:
    """Not a header that cannot be read."""
    (tmp_path / name).write_bytes(b"\x93NUMPY")
    status, _, err = call(tmp_path / name, "-o", tmp_path / "x.npy")
    assert (status, "is a picture, or several, expected a header; pictures need --patches" in err) == (1, True)
    assert not (tmp_path / "x.npy").exists()


def test_inputs_are_not_overwritten(call: Any, tmp_path: Path) -> None:
    """An output that is one of the inputs is refused."""
    header = write_samples(tmp_path / "quant_samples.h", IMAGES)
    before = header.read_bytes()
    assert "would destroy it" in call(tmp_path, "-o", header)[2]
    assert header.read_bytes() == before


# --- pictures ---

PIXELS = np.random.default_rng(9).integers(0, 256, (5, 4, 6, 3)).astype(np.uint8)
STATED = ("--mean", "0.5,0.25,0.125", "--std", "0.25,0.5,1", "--step", "0.03125")


def codes(pixels: Images, patch: int) -> Images:
    """Codes that STATED makes of square pictures, pixel by pixel; every number but pixel / 255 is exact in binary."""
    count, size, _, colours = pixels.shape
    side = size // patch
    out = np.zeros((count, side**2, patch**2 * colours), np.int8)
    for image, row, column, colour in np.ndindex(pixels.shape):
        token = (row // patch) * side + column // patch
        value = ((row % patch) * patch + column % patch) * colours + colour
        real = (int(pixels[image, row, column, colour]) / 255 - (0.5, 0.25, 0.125)[colour]) / (0.25, 0.5, 1.0)[colour]
        out[image, token, value] = max(-128, min(127, round(real / 0.03125)))
    return out


def test_pictures_become_images(call: Any, tmp_path: Path) -> None:
    """PNG files, a folder of them, and .npy files give the same codes, in the order given and by name."""
    pixels = PIXELS[:, :, :4]
    save(model(4, 12), tmp_path / "m.safetensors")
    (tmp_path / "p").mkdir()
    for i, picture in enumerate(pixels):
        Image.fromarray(picture).save(tmp_path / "p" / f"{i}.png")
    np.save(tmp_path / "p.npy", pixels)
    expected = codes(pixels, 2)
    for sources in ((tmp_path / "p",), (tmp_path / "p.npy",), tuple(tmp_path / "p" / f"{i}.png" for i in range(5))):
        status, out, err = call(*sources, "-o", tmp_path / "x.npy", "--patches", "--model", tmp_path / "m.safetensors",
                                *STATED, "--json")  # fmt: skip
        assert (status, err) == (0, "")
        assert np.array_equal(np.load(tmp_path / "x.npy"), expected)
        assert (json.loads(out)["pictures"], json.loads(out)["resized"]) == (5, 0)


@pytest.mark.slow
def test_golden_images_come_from_their_pictures(call: Any, tmp_path: Path) -> None:
    """A model that states its input format gives the very images that the golden folder holds of its data set."""
    pytest.importorskip("sklearn")
    path = golden_dir() / "digits_small.safetensors"
    wanted = InputFormat.of(load(path))
    assert wanted.data == DataSource.DIGITS
    golden = np.load(golden_dir() / "digits_16x4.npy")
    np.save(tmp_path / "p.npy", load_data(DataSource.DIGITS, None).test.images[: len(golden), ..., 0])
    status, _, err = call(tmp_path / "p.npy", "-o", tmp_path / "x.npy", "--patches", "--model", path)
    assert (status, err) == (0, "")
    assert np.array_equal(np.load(tmp_path / "x.npy"), golden)
    assert fxsim.run(load(path), np.load(tmp_path / "x.npy"))["classifier"].shape == (len(golden), 10)


def test_other_sizes_and_colours_are_brought_to_the_models(call: Any, tmp_path: Path) -> None:
    """A picture of one colour all over keeps it, whatever its size; grey, palette and colours are read alike."""
    save(model(4, 12), tmp_path / "m.safetensors")
    for name, mode, size in (
        ("a.png", "RGB", (9, 7)),
        ("b.png", "L", (4, 4)),
        ("c.png", "P", (2, 3)),
        ("d.jpg", "L", (8, 8)),
    ):
        Image.new("RGB", size, (102, 102, 102)).convert(mode).save(tmp_path / name)
    status, out, _ = call(
        tmp_path, "-o", tmp_path / "x.npy", "--patches", "--model", tmp_path / "m.safetensors", *STATED
    )
    assert status == 0
    assert "4 pictures read, 3 of them brought to another size" in out
    assert np.array_equal(np.load(tmp_path / "x.npy"), codes(np.full((4, 4, 4, 3), 102, np.uint8), 2))


def test_pictures_that_are_none_are_refused(call: Any, tmp_path: Path) -> None:
    """Each kind of file that is no picture, or holds more than eight bits or transparency, is named in one line."""
    save(model(4, 12), tmp_path / "m.safetensors")
    whole = tmp_path / "whole.png"
    Image.fromarray(PIXELS[0]).save(whole)
    (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:60])
    (tmp_path / "text.png").write_text("text")
    Image.new("RGBA", (4, 4)).save(tmp_path / "alpha.png")
    Image.new("I;16", (4, 4)).save(tmp_path / "deep.png")
    Image.new("L", (1025, 1)).save(tmp_path / "wide.png")
    np.save(tmp_path / "float.npy", PIXELS.astype(float))
    np.save(tmp_path / "four.npy", np.zeros((1, 4, 4, 4), np.uint8))
    np.save(tmp_path / "none.npy", PIXELS[:0])
    (tmp_path / "empty").mkdir()
    for name, message in (
        ("cut.png", "PNG or JPEG picture"), ("text.png", "cannot be read as a PNG"), ("alpha.png", "mode 'RGBA'"),
        ("deep.png", "mode 'I;16'"), ("wide.png", "at most 1024 a side"), ("float.npy", "images are float64"),
        ("four.npy", "images are uint8 (1, 4, 4, 4)"), ("none.npy", "expected 1 to 100,000"),
        ("empty", "has no picture in it"), ("absent.png", "No such file"), ("absent.npy", "there is no such file"),
    ):  # fmt: skip
        status, out, err = call(
            tmp_path / name, "-o", tmp_path / "x.out", "--patches", "--model", tmp_path / "m.safetensors", *STATED
        )
        assert (status, out, err.count("\n")) == (1, "", 1), err
        assert message in err
        assert str(tmp_path / name) in err
        assert not (tmp_path / "x.out").exists()


def test_how_pictures_are_given_is_never_guessed(call: Any, tmp_path: Path) -> None:
    """Without a statement, with a second one, or for inputs that are no square pictures, nothing is written."""
    np.save(tmp_path / "p.npy", PIXELS[:, :, :4])
    stating = golden_dir() / "digits_small.safetensors"
    for path, options, message in (
        (model(4, 12), (), "does not state how pictures are given to it"),
        (model(4, 12), STATED[:4], "does not state how pictures are given to it"),
        (model(4, 12), ("--mean", "0", "--std", "1", "--step", "1"), "mean has 1 numbers, expected one a colour, 3"),
        (model(4, 12), (*STATED[:4], "--step", "0"), "step is 0.0"),
        (model(4, 10), STATED, "no square patches"),
        (model(8, 12), STATED, "no square patches"),
        (stating, STATED, "states how pictures are given to it"),
    ):
        if isinstance(path, Model):
            save(path, tmp_path / "m.safetensors")
            path = tmp_path / "m.safetensors"
        status, _, err = call(tmp_path / "p.npy", "-o", tmp_path / "x.npy", "--patches", "--model", path, *options)
        assert status == 1
        assert message in err
        assert not (tmp_path / "x.npy").exists()


def test_published_samples_are_the_traces_images(published: Path, call: Any, tmp_path: Path) -> None:
    """The images of both published layouts are those that the published trace computed on."""
    with np.load(published / "stream_psa_h96" / "csim_trace.npz") as trace:
        expected = trace["input"]
    for folder, count in (("stream_psa_h96", 4), ("simd_psa_h96", 1)):
        status, _, err = call(published / folder, "-o", tmp_path / "x.npy")
        assert (status, err) == (0, "")
        assert np.array_equal(np.load(tmp_path / "x.npy"), expected[:count])
