"""Real photographs on disk: layouts, numbers, sizes, and one clear line for everything that is wrong."""

import json
import os
import re
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from minida import data
from minida.data.loaders import TrainingBatches
from minida.data.transforms import Augmentation
from minida.types import CITYSCAPES, CLASSES, IGNORE

REAL = Path(os.environ.get("MINIDA_CAMVID") or Path(__file__).resolve().parents[2].parent / "shared/data/camvid")
CLASSES_JSON = [{"name": "water", "color": [0, 0, 255], "id": 7}, {"name": "land", "color": [0, 255, 0], "id": 3}]


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def photograph(value: int = 90, size: tuple[int, int] = (12, 20)) -> np.ndarray:
    return np.full((*size, 3), value, np.uint8)


@pytest.fixture
def camvid(tmp_path: Path) -> Path:
    """Two splits; label image 0 of train shows all the numbers of the layout."""
    numbers = np.resize(np.array([*range(12), 255], np.uint8), (12, 20))
    for split, count in (("train", 3), ("val", 1)):
        for i in range(count):
            write(tmp_path / split / f"{i:04}.png", photograph(10 * i))
            write(tmp_path / f"{split}annot" / f"{i:04}.png", np.roll(numbers, -i))
    return tmp_path


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """images/ in JPEG and PNG with labels/ that hold 0, 18 and 255."""
    labels = np.zeros((12, 20), np.uint8)
    labels[:, 10:15], labels[:, 15:] = 18, 255
    for i, ending in enumerate((".jpg", ".png", ".PNG")):
        write(tmp_path / f"images/shot{i}{ending}", photograph(60 * i))
        write(tmp_path / f"labels/shot{i}.png", labels)
    return tmp_path


def test_camvid_numbers_become_the_nineteen_classes(camvid: Path) -> None:
    dataset = data.open(f"camvid:{camvid}", size=(6, 10))
    by_hand = {
        0: "sky", 1: "building", 2: "pole", 3: "road", 4: "sidewalk", 5: "vegetation", 6: "traffic sign",
        7: "fence", 8: "car", 9: "person", 10: "rider",
    }  # fmt: skip
    labels = dataset.labels(0)
    assert labels.dtype == torch.int64 and labels.shape == (12, 20)  # their own size
    for number, name in by_hand.items():
        assert labels[0, number] == CLASSES.index(name)
    assert labels[0, 11] == labels[0, 12] == IGNORE
    assert dataset.classes == (0, 1, 2, 4, 5, 7, 8, 10, 11, 12, 13)
    assert dataset.table is CITYSCAPES and len(dataset) == 3
    image, small = dataset[1]
    assert image.shape == (3, 6, 10) and image.dtype == torch.uint8 and (image == 10).all()
    assert small.shape == (6, 10) and small.dtype == torch.int64
    assert torch.equal(small, data.base.resize_labels(dataset.labels(1), (6, 10)))
    frequency = data.open(f"camvid:{camvid}", "val").class_frequency()
    counts = np.bincount(dataset.labels(0).flatten(), minlength=256)[:19]  # the same numbers as in val
    assert np.allclose(frequency, counts / counts.sum()) and frequency[[3, 9, 18]].tolist() == [0, 0, 0]


def test_a_missing_split_is_refused_with_the_folders_found(camvid: Path) -> None:
    with pytest.raises(ValueError, match=r"needs the folders tune/ and tuneannot/; found train, trainannot"):
        data.open(f"camvid:{camvid}", "tune")
    with pytest.raises(ValueError, match="nowhere: no such folder; check the path"):
        data.open(f"camvid:{camvid / 'nowhere'}")


def test_images_are_antialiased_and_labels_are_not_mixed(tmp_path: Path) -> None:
    stripes = np.zeros((16, 64, 3), np.uint8)
    stripes[:, ::2] = 200
    numbers = np.zeros((16, 64), np.uint8)
    numbers[:, 32:] = 18
    write(tmp_path / "images/a.png", stripes)
    write(tmp_path / "labels/a.png", numbers)
    image, labels = data.open(f"folder:{tmp_path}", size=(4, 8))[0]
    assert (image.int() - 100).abs().max() <= 15  # without antialiasing: 0 or 200
    assert labels[:, :4].unique().tolist() == [0] and labels[:, 4:].unique().tolist() == [18]


def test_plain_folder_reads_train_ids(plain: Path) -> None:
    dataset = data.open(f"folder:{plain}", split="val", size=(12, 20))  # images/ serves every split
    assert [path.name for path, _ in dataset.pairs] == ["shot0.jpg", "shot1.png", "shot2.PNG"]
    assert [int(dataset.image(i).float().mean().round()) for i in range(3)] == [0, 60, 120]
    assert dataset.labels(2)[5].tolist() == [0] * 10 + [18] * 5 + [IGNORE] * 5
    assert dataset.classes == tuple(range(19)) and dataset.has_labels
    assert np.allclose(dataset.class_frequency()[[0, 18]], [2 / 3, 1 / 3])
    assert data.inspect(f"folder:{plain}") == []


def test_a_split_folder_comes_first(plain: Path) -> None:
    write(plain / "val/images/city/only.png", photograph())
    write(plain / "val/labels/city/only.png", np.zeros((12, 20), np.uint8))
    assert [len(data.open(f"folder:{plain}", split)) for split in ("train", "val")] == [3, 1]


def test_own_classes_have_their_own_table(tmp_path: Path) -> None:
    write(tmp_path / "images/a.png", photograph())
    write(tmp_path / "labels/a.png", np.tile(np.array([3, 7, 255, 7], np.uint8), (12, 5)))
    (tmp_path / "classes.json").write_text(json.dumps(CLASSES_JSON))
    dataset = data.open(f"folder:{tmp_path}")
    assert dataset.table.names == ("water", "land") and dataset.table.ids == (7, 3)
    assert dataset.table.palette.tolist() == [[0, 0, 255], [0, 255, 0]]
    assert dataset.table.palette.dtype == np.uint8 and dataset.classes == (0, 1)
    assert dataset.labels(0)[0, :4].tolist() == [1, 0, IGNORE, 0]
    assert np.allclose(dataset.class_frequency(), [2 / 3, 1 / 3])


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        ("[{", "classes.json: wrong at null .JSONDecodeError"),
        ([], "no class"),
        ([{"name": "a", "color": [0, 0, 0]}], "KeyError: 'id'"),
        ([{"name": "a", "color": [0, 0, 0], "id": 255}], "255 is not in range"),
        ([{"name": "a", "color": [0, 0, 300], "id": 1}], "300 out of bounds"),
        ([{"name": "a", "color": [0, 0], "id": 1}], r'wrong at \{"name": "a", "color": \[0, 0\]'),
        ([CLASSES_JSON[0], {**CLASSES_JSON[1], "id": 7}], 'wrong at {"name": "land".*given before'),
        ([CLASSES_JSON[0], {**CLASSES_JSON[1], "name": "water"}], "given before"),
        ({"road": 0}, "TypeError"),
    ],
)
def test_a_wrong_class_table_names_its_entry(plain: Path, classes: object, message: str) -> None:
    text = classes if isinstance(classes, str) else json.dumps(classes)
    (plain / "classes.json").write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        data.open(f"folder:{plain}")
    assert "\n" not in str(error.value) and 'expected a list of {"name"' in str(error.value)


def test_without_labels_images_still_work(plain: Path) -> None:
    for path in (plain / "labels").iterdir():
        path.unlink()
    (plain / "labels").rmdir()
    dataset = data.open(f"folder:{plain}", size=(12, 20))
    assert not dataset.has_labels and dataset.image(1).shape == (3, 12, 20)
    line = f"has no labels of split 'train'; expected a folder {plain / 'labels'}"
    for needs_labels in (lambda: dataset.labels(0), dataset.prepare):
        with pytest.raises(ValueError, match=re.escape(line)):
            needs_labels()
    assert dataset.check() == []


def test_palette_and_sixteen_bit_labels_keep_their_numbers(plain: Path) -> None:
    few = Image.fromarray(np.resize(np.array([0, 1, 2, 3], np.uint8), (12, 20)))
    few.putpalette([9, 9, 9, 200, 0, 0, 0, 200, 0, 0, 0, 200])  # 2 bits a pixel in the file
    assert few.mode == "P"
    few.save(plain / "labels/shot0.png")
    write(plain / "labels/shot1.png", np.resize(np.array([5, 255], np.uint16), (12, 20)))
    dataset = data.open(f"folder:{plain}")
    with Image.open(plain / "labels/shot1.png") as sixteen:
        assert sixteen.mode == "I;16"
    assert dataset.labels(0)[0, :4].tolist() == [0, 1, 2, 3]
    assert dataset.labels(1)[0, :4].tolist() == [5, 255, 5, 255]


def test_missing_partners_are_found_on_opening(camvid: Path) -> None:
    (camvid / "trainannot/0001.png").unlink()
    image, labels = camvid / "train/0001.png", camvid / "trainannot"
    message = f"{image}: has no partner; expected one named 0001 in {labels}"
    with pytest.raises(ValueError, match=re.escape(message)) as error:
        data.open(f"camvid:{camvid}")
    assert "more" not in str(error.value)
    (camvid / "train/0002.png").unlink()
    with pytest.raises(ValueError, match=r"\(and 1 more: minida info --data camvid:"):
        data.open(f"camvid:{camvid}")
    data.open(f"camvid:{camvid}", "val")
    assert [line.split(": ")[0] for line in data.inspect(f"camvid:{camvid}")] == [str(image), str(labels / "0002.png")]


def test_an_empty_folder_and_hidden_files(plain: Path) -> None:
    (plain / "images/._shot0.png").write_bytes(b"left by a desktop")
    assert len(data.open(f"folder:{plain}")) == 3
    for path in (plain / "images").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="images: holds no file \\*.png, "):
        data.open(f"folder:{plain}")


def test_broken_content_is_named_when_read_and_listed_at_once_by_inspect(camvid: Path) -> None:
    numbers = np.zeros((12, 20), np.uint8)
    grain = np.random.default_rng(0).integers(0, 255, (12, 20, 3), np.uint8)
    for name in ("bad0.png", "bad1.png", "bad2.png", "bad3.png"):
        write(camvid / "train" / name, grain)
        write(camvid / "trainannot" / name, numbers)
    whole = (camvid / "train/bad0.png").read_bytes()
    (camvid / "train/bad0.png").write_bytes(whole[: len(whole) // 2])
    write(camvid / "trainannot/bad1.png", numbers[:10])
    numbers[2, 3:5] = 40, 19
    write(camvid / "trainannot/bad2.png", numbers)
    write(camvid / "trainannot/bad3.png", photograph())
    write(camvid / "train/bad4.png", photograph())
    dataset = data.CamVid(camvid, strict=False)
    index = {path.stem: i for i, (path, _) in enumerate(dataset.pairs)}
    expected = {
        "bad0": (dataset.image, r"bad0.png: cannot be read \(.*truncated.*\); copy it again"),
        "bad1": (dataset.labels, r"bad1.png: is 20×10; expected 20×12 as bad1.png, replace one"),
        "bad2": (dataset.labels, r"bad2.png: holds the number\(s\) 19, 40; expected 0 to 10, or 11"),
        "bad3": (dataset.labels, r"bad3.png: has mode RGB; expected one number a pixel"),
    }
    for name, (read, message) in expected.items():
        with pytest.raises(ValueError, match=message) as error:
            read(index[name])
        assert "\n" not in str(error.value)
    (camvid / "valannot/0000.png").write_bytes(b"no image at all")
    problems = data.inspect(f"camvid:{camvid}")
    patterns = ["bad4.png: has no partner", *(message for _, message in expected.values())]
    patterns += ["valannot.0000.png: cannot be read"]
    assert problems[-1].count("0000.png") == 1  # Pillow's reason repeats the path
    assert len(problems) == 6  # a broken file is one line, though it is opened twice
    for pattern, line in zip(patterns, problems, strict=True):
        assert re.search(pattern, line)


def test_a_broken_image_is_named_when_its_labels_are_read(plain: Path) -> None:
    (plain / "images/shot1.png").write_bytes(b"")
    dataset = data.open(f"folder:{plain}")
    with pytest.raises(ValueError, match="shot1.png: cannot be read"):
        dataset[1]
    assert len(dataset.check()) == 1


def test_numbers_outside_name_the_table(plain: Path) -> None:
    write(plain / "labels/shot0.png", np.full((12, 20), 19, np.uint8))
    with pytest.raises(ValueError, match=r"number\(s\) 19; expected a trainId, 0 to 18; correct them, or paint"):
        data.open(f"folder:{plain}").labels(0)
    (plain / "classes.json").write_text(json.dumps(CLASSES_JSON))
    with pytest.raises(ValueError, match=r"number\(s\) 0, 18; expected an id of .*classes.json"):
        data.open(f"folder:{plain}").labels(1)
    write(plain / "labels/shot0.png", np.full((12, 20), 300, np.uint16))
    with pytest.raises(ValueError, match=r"number\(s\) 300;"):
        data.open(f"folder:{plain}").labels(0)


def test_inspect_tells_what_open_would_refuse(tmp_path: Path, camvid: Path) -> None:
    assert data.inspect("camvd:x") and "camvid" in data.inspect("camvd:x")[0]
    assert "no such folder" in data.inspect(f"folder:{tmp_path / 'nowhere'}")[0]
    assert "has no images of split 'train'" in data.inspect(f"folder:{tmp_path}")[0]
    for path in (camvid / "valannot").iterdir():
        path.unlink()
    (camvid / "valannot").rmdir()
    assert [line.split(": ")[1].split(";")[0] for line in data.inspect(f"camvid:{camvid}")] == [
        "needs the folders val/ and valannot/"
    ]


def make_two(root: Path) -> Path:
    for name in "ab":
        write(root / f"images/{name}.png", photograph())
    return root


def test_an_unlabelled_folder_serves_as_target(plain: Path) -> None:
    target = data.open(f"folder:{make_two(plain / 'two')}", size=(12, 20))
    source = data.open(f"folder:{plain}", size=(12, 20))
    stream = TrainingBatches(source, target, batch_size=2, augmentation=Augmentation((8, 8)), seed=0)
    assert next(iter(stream)).target.shape == (2, 3, 8, 8)
    with pytest.raises(ValueError, match="has no labels"):
        next(iter(TrainingBatches(target, batch_size=2, augmentation=Augmentation((8, 8)), seed=0)))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (
            "camvd:x",
            "unknown kind of data set 'camvd' in 'camvd:x'; did you mean 'camvid'.*minicity, cityscapes, gta5,",
        ),
        ("photos", "unknown kind of data set 'photos'"),
        ("folder:", "names no folder; expected folder:DIR"),
        ("minicity:gme", "unknown domain 'gme'.*did you mean 'game'"),
        ("minicity:", "unknown domain '' in 'minicity:'.*known: game, real"),
        ("minicity:real?gpa=1", "unknown option 'gpa'.*did you mean 'gap'.*known: gap, n, seed"),
        ("minicity:real?gap=wide", "gap is 'wide'.*expected a number"),
        ("minicity:real?n=", "n is ''"),
    ],
)
def test_a_wrong_name_is_refused_with_a_suggestion(spec: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        data.open(spec)


def test_a_wrong_size_is_refused_and_a_drive_keeps_its_colon(plain: Path) -> None:
    with pytest.raises(ValueError, match="size is .0, 10.; expected .height, width"):
        data.open(f"folder:{plain}", size=(0, 10))
    with pytest.raises(ValueError, match=re.escape(r"C:\photos: no such folder")):
        data.open(r"folder:C:\photos")
    assert data.open(f"folder:{plain}").spec == f"folder:{plain}"


@pytest.mark.skipif(not (REAL / "train").is_dir(), reason="CamVid is not here (set MINIDA_CAMVID)")
def test_the_real_camvid() -> None:
    train, val = (data.open(f"camvid:{REAL}", split) for split in ("train", "val"))
    assert (len(train), len(val)) == (367, 101)
    image, labels = train[0]
    assert image.shape == (3, 96, 192) and labels.shape == (96, 192)
    assert val.labels(0).shape == (360, 480)
    frequency = val.class_frequency()
    assert set(np.flatnonzero(frequency)) == set(val.classes)
    top = np.argsort(frequency)[::-1][:4]
    assert {CLASSES[c] for c in top} == {"road", "building", "sky", "vegetation"}


def test_minicity_takes_its_options_from_the_name() -> None:
    dataset = data.open("minicity:real?gap=0.5&n=3&seed=1", split="tune", size=(32, 64))
    same = data.MiniCity("real", "tune", (32, 64), n=3, seed=1, gap=0.5)
    assert isinstance(dataset, data.MiniCity) and len(dataset) == 3 and dataset.split == "tune"
    assert torch.equal(dataset.image(2), same.image(2)) and dataset.image(2).shape == (3, 32, 64)
    assert dataset.spec == "minicity:real?gap=0.5&n=3&seed=1"
    assert data.inspect("minicity:real") == []


def test_an_error_in_a_worker_is_the_same_one_line(plain: Path) -> None:
    (plain / "labels" / sorted(os.listdir(plain / "labels"))[0]).write_bytes(b"broken")
    lines = []
    for workers in (0, 1):
        with pytest.raises(ValueError, match="cannot be read") as error:
            list(data.evaluation_batches(data.open(f"folder:{plain}"), workers=workers))
        lines.append(str(error.value))
    assert lines[0] == lines[1] and "\n" not in lines[1]


@pytest.mark.parametrize("bits", [1, 2, 4])
def test_gray_labels_of_few_bits_are_refused(plain: Path, bits: int) -> None:
    """Pillow would stretch their numbers to 0 ... 255: 1 of 4 bits would be read as 17."""
    path = plain / "labels" / sorted(os.listdir(plain / "labels"))[0]
    with Image.open(path) as file:
        width, height = file.size
    rows = b"".join(b"\0" + bytes(-(-width * bits // 8)) for _ in range(height))
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, bits, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    chunks = (struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in parts)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    with pytest.raises(
        ValueError, match="has mode 1" if bits == 1 else f"has {bits} bits a pixel; expected 8; save it"
    ):
        data.open(f"folder:{plain}").labels(0)


def test_two_images_of_one_name_are_refused(plain: Path) -> None:
    first = sorted((plain / "images").iterdir())[0]
    Image.new("RGB", (8, 8)).save(first.with_suffix(".jpg" if first.suffix != ".jpg" else ".png"))
    with pytest.raises(ValueError, match="has the name of .*; expected one image a name, delete one"):
        data.open(f"folder:{plain}")
