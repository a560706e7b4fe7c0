"""What fuzzing found in data and models, a test each."""

import json
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from harness import refused, verdict
from PIL import Image
from safetensors.torch import load_file, save_file
from test_fuzz_models import THREE, saved
from trees import LAYOUTS, SIZE, photograph, png, write_tree

import minida
from minida import data
from minida.data import cache, layouts
from minida.data.centroids import Centroids
from minida.data.folders import PairedFiles, open_file, open_picture
from minida.data.pseudo import PseudoLabelled, coverage
from minida.models.bisenet import decided, load_body
from minida.storage import halve, load_discriminator, read_metadata, save_model, save_part

NAN = float("nan")


@pytest.fixture
def plain(tmp_path: Path) -> PairedFiles:
    write_tree(tmp_path / "plain", LAYOUTS["folder"])
    return data.open(f"folder:{tmp_path / 'plain'}", size=SIZE)


# Pictures and label maps


def test_a_flipped_bit_of_a_png_is_no_other_picture(tmp_path: Path) -> None:
    file, whole = tmp_path / "x.png", bytearray(png(np.zeros((8, 8), np.uint8)))
    idat = whole.index(b"IDAT")
    (length,) = struct.unpack(">I", whole[idat - 4 : idat])
    raw = bytearray(zlib.decompress(whole[idat + 4 : idat + 4 + length]))
    raw[10] = 5  # a pixel; the stream's own checksum fits, the chunk's does not
    packed = zlib.compress(bytes(raw))
    file.write_bytes(whole[: idat - 4] + struct.pack(">I", len(packed)) + b"IDAT" + packed + b"\0\0\0\0" + whole[-12:])
    refused(r"x\.png: cannot be read \(.*\); copy it again", open_file, file)


def test_no_reader_that_starts_a_program(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n%%EOF\n"
    )
    found = verdict(lambda: open_picture(tmp_path / "x.png"), tmp_path, ("x.png: cannot be read",))
    assert found.kind == "refused", found


@pytest.mark.parametrize("kind", ["PPM", "BMP", "TIFF"])
def test_labels_are_pngs(plain: PairedFiles, kind: str) -> None:
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(plain.pairs[0][1], kind)
    refused(f"is a {kind}; expected a PNG", plain.labels, 0)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes among its files")
@pytest.mark.parametrize("name", ["classes.json", "images/a.png"])
def test_a_pipe_is_not_waited_for(plain: PairedFiles, name: str) -> None:
    (plain.root / name).unlink()
    os.mkfifo(plain.root / name)
    refused("no such file|no file", lambda: data.open(plain.spec, size=SIZE).image(0))


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_a_picture_of_more_than_eight_bits_is_not_cut_off(tmp_path: Path, kind: type) -> None:
    Image.fromarray(np.full((8, 8), 300, kind)).save(tmp_path / "x.tif")
    refused(r"x\.tif: has mode .*; expected 8 bits a channel", open_picture, tmp_path / "x.tif")


def test_a_picture_larger_than_memory(tmp_path: Path) -> None:
    file = bytearray(png(np.zeros((8, 8), np.uint8)))
    file[16:24] = struct.pack(">II", 10000, 10000)  # Pillow itself would take it
    file[29:33] = struct.pack(">I", zlib.crc32(file[12:29]))
    (tmp_path / "x.png").write_bytes(file)
    refused("x.png: cannot be read .*10000×10000 pixels", open_file, tmp_path / "x.png", header=True)


def test_a_file_named_with_a_newline_is_still_one_line(plain: PairedFiles) -> None:
    (plain.root / "images" / "d\ne.png").write_bytes(png(photograph(0)))
    refused("has no partner", data.open, plain.spec)
    assert all(len(line.splitlines()) == 1 for line in data.inspect(plain.spec))


def test_a_link_to_nowhere_is_a_broken_picture(plain: PairedFiles) -> None:
    plain.pairs[0][0].unlink()
    plain.pairs[0][0].symlink_to("nowhere.png")
    refused(r"a\.png: cannot be read \(no such file\)", data.open(plain.spec, size=SIZE).prepare)


def test_a_split_of_which_every_pair_is_skipped(tmp_path: Path) -> None:
    write_tree(tmp_path / "gta5", {**LAYOUTS["gta5"], "labels/c.png": png(np.zeros((9, 9), np.uint8))})
    refused(r"0 in split 'val', 1 wanted; .*c\.png: is 9×9", data.open, f"gta5:{tmp_path / 'gta5'}", "val")


# Specs


@pytest.mark.parametrize(
    "query", ["n=" + "0" * 5000 + "1", "n=" + "9" * 5000, "seed=" + "9" * 5000, "size=" + "9" * 40 + "x1"]
)
def test_numbers_too_long_for_python(plain: PairedFiles, query: str) -> None:
    refused(query.partition("=")[0] + " is", data.open, f"{plain.spec}?{query}")


@pytest.mark.parametrize("size", ["a\nb", 5, (20,), (20, 10**9), (20, "x"), (0, 20), None])
def test_a_size_that_is_none(plain: PairedFiles, size: object) -> None:
    refused("size is .*; expected", data.open, plain.spec, size=size)


@pytest.mark.parametrize("root", ["~nobody-of-this-name/x", "a" * 5000, "a\0b", "a\ud800b"])
def test_a_folder_that_cannot_be(root: str) -> None:
    for kind in LAYOUTS:
        refused("no such folder|cannot be read", data.open, f"{kind}:{root}")
        assert data.inspect(f"{kind}:{root}")


def test_more_images_than_minicity_has() -> None:
    refused("MiniCity has no n", data.open, "minicity:real?n=1000000000000")


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '[{"name": "' + "a" * 9999 + '"}]', '[{"name": "a", "color": 0, "id": 1e999}]', "\ud800"]
)
def test_class_tables(tmp_path: Path, text: str) -> None:
    (tmp_path / "classes.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    assert len(refused(r"classes\.json: wrong at", layouts.read_classes, tmp_path / "classes.json")) < 900


# Arrays beside the data


def test_a_damaged_cache_is_made_again(tmp_path: Path) -> None:
    for content in (b"\x93NUMPY\x01\0\x10\0{'descr': 5,    }\n", b"PK\x03\x04", b"", b"\x80\x04."):
        (tmp_path / "images.npy").write_bytes(content)
        assert cache.load(tmp_path, ("images",)) is None


@pytest.mark.parametrize(
    "table", [np.zeros(5, np.int64), np.zeros((2, 3, 5), np.int64), np.full((2, 5), 99), np.zeros((2, 5)), -np.eye(5)]
)
def test_damaged_regions_are_found_again(plain: PairedFiles, tmp_path: Path, table: np.ndarray) -> None:
    good = Centroids.of(plain).table
    plain.regions, plain.regions_file = None, tmp_path / "regions.npy"
    np.save(plain.regions_file, table)
    np.testing.assert_array_equal(Centroids.of(plain).table, good)


@pytest.mark.parametrize("labels", [np.zeros((3, 5, 5)), np.zeros((0, *SIZE)), np.zeros(SIZE), np.zeros((2, *SIZE))])
def test_pseudo_labels_of_another_shape(plain: PairedFiles, tmp_path: Path, labels: np.ndarray) -> None:
    np.save(tmp_path / "labels.npy", labels.astype(np.uint8))
    refused(r"labels\.npy: damaged", PseudoLabelled, plain, tmp_path / "labels.npy")
    if not labels.size or labels.ndim != 3:
        refused(r"labels\.npy: damaged", coverage, tmp_path / "labels.npy")


def test_pseudo_labels_that_are_no_class(plain: PairedFiles, tmp_path: Path) -> None:
    np.save(tmp_path / "labels.npy", np.full((3, *SIZE), 2, np.uint8))
    dataset = PseudoLabelled(plain, tmp_path / "labels.npy")
    refused("labels that are no class", dataset.__getitem__, 0)


# Models


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(path, minida.BiSeNet(3, "slim"), THREE, np.full(3, 1 / 3), (32, 64))
    return path


def rewritten(model: Path, path: Path, changes: dict, **tensors: torch.Tensor) -> Path:
    import safetensors

    with safetensors.safe_open(model, framework="pt") as file:
        stored = {**file.metadata(), **{key: json.dumps(value) for key, value in changes.items()}}
    save_file({**load_file(model), **{key.replace("__", "."): value for key, value in tensors.items()}}, path, stored)
    return path


@pytest.mark.parametrize(
    "changes",
    [
        {"class_names": [1, 2, 3]}, {"class_names": "abc"}, {"class_frequency": [NAN, 0, 1]}, {"size": [2**17, 32]},
        {"class_frequency": [2, 0, 0]}, {"embedding": 10**9}, {"num_classes": True}, {"class_names": ["a"] * 10**5},
    ],
)  # fmt: skip
def test_metadata_that_no_model_has(model: Path, tmp_path: Path, changes: dict) -> None:
    for call in (read_metadata, minida.load, lambda path: halve(path, tmp_path / "half")):
        said = refused("damaged model file", call, rewritten(model, tmp_path / "x.safetensors", changes))
        assert len(said) < 1000


def test_an_error_of_safetensors_with_a_newline_is_one_line(model: Path, tmp_path: Path) -> None:
    content = model.read_bytes()
    (tmp_path / "x.safetensors").write_bytes(content.replace(b'"F32"', b'"\\n2"', 1))
    refused("damaged model file", read_metadata, tmp_path / "x.safetensors")


@pytest.mark.parametrize("value", [torch.tensor([NAN, 0, 0]), torch.tensor([0, float("inf"), 0]), torch.ones(3).bool()])
def test_weights_that_are_no_numbers(model: Path, tmp_path: Path, value: torch.Tensor) -> None:
    path = rewritten(model, tmp_path / "x.safetensors", {}, head__bias=value)
    refused(r"head\.bias holds what is no number", minida.load, path)


def test_a_discriminator_of_no_numbers_or_of_any_width(tmp_path: Path) -> None:
    file = tmp_path / "discriminator.safetensors"
    save_part(file, minida.DSCDiscriminator(3, 4))
    state = load_file(file)
    save_file({**state, "layers.0.1.weight": state["layers.0.1.weight"] * NAN}, file)
    refused("no number", load_discriminator, file)
    save_file({"layers.0.weight": torch.zeros(10**6, 1)}, file)  # a network of this width has terabytes
    assert "memory" not in refused("holds no discriminator", load_discriminator, file)


@pytest.mark.parametrize("state", [{1: torch.ones(1)}, {"bias": torch.tensor([NAN])}, [torch.ones(1)], None])
def test_weights_of_a_backbone(tmp_path: Path, state: object) -> None:
    (tmp_path / "body.pth").write_bytes(saved(state) if state else b"")
    refused(r"body\.pth", load_body, torch.nn.Conv2d(1, 1, 1, bias=True), str(tmp_path / "body.pth"))
    if isinstance(state, dict) and "bias" in state:
        whole = {"weight": torch.ones(1, 1, 1, 1), **state}
        (tmp_path / "body.pth").write_bytes(saved(whole))
        refused("no number, e.g. in bias", load_body, torch.nn.Conv2d(1, 1, 1), str(tmp_path / "body.pth"))


def test_scores_that_are_no_numbers_are_no_class() -> None:
    assert decided(torch.tensor([[0.0, 1.0]]), 1).tolist() == [1]
    refused("scores are no numbers", decided, torch.tensor([[0.0, NAN]]), 1)
