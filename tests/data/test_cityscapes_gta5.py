"""Cityscapes and GTA5 in their true layouts: numbers, splits, subsets, and one line for everything that is wrong."""

import os
import re
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from minida import data
from minida.data import folders
from minida.types import CLASSES, IGNORE

SIZE = (20, 36)
NUMBERS = np.resize(np.array([*range(34), 255], np.uint8), SIZE)
BY_HAND = {
    7: "road", 8: "sidewalk", 11: "building", 12: "wall", 13: "fence", 17: "pole", 19: "traffic light",
    20: "traffic sign", 21: "vegetation", 22: "terrain", 23: "sky", 24: "person", 25: "rider", 26: "car",
    27: "truck", 28: "bus", 31: "train", 32: "motorcycle", 33: "bicycle",
}  # fmt: skip


def write(path: Path, pixels: np.ndarray, colors: int = 0) -> Path:
    """An image file; with `colors` a palette PNG of so many colours, whose indices are the pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels)
    if colors:
        image.putpalette([(37 * i + 11 * k) % 256 for i in range(colors) for k in range(3)])
    image.save(path)
    return path


def photograph(value: int = 90, size: tuple[int, int] = SIZE) -> np.ndarray:
    noise = np.random.default_rng(value).integers(-9, 9, (*size, 3))
    return (value + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture
def cityscapes(tmp_path: Path) -> Path:
    """train: three images of Aachen and one of Bremen; val: two of Lindau; test: images alone."""
    root = tmp_path / "cityscapes"
    for split, city, count in (("train", "aachen", 3), ("train", "bremen", 1), ("val", "lindau", 2), ("test", "b", 1)):
        for i in range(count):
            name = f"{split}/{city}/{city}_000000_{i:06}"
            write(root / f"leftImg8bit/{name}_leftImg8bit.png", photograph(50 + 20 * i))
            if split != "test":
                write(root / f"gtFine/{name}_gtFine_labelIds.png", np.roll(NUMBERS, -i))
                write(root / f"gtFine/{name}_gtFine_color.png", photograph())
                write(root / f"gtFine/{name}_gtFine_instanceIds.png", NUMBERS.astype(np.uint16) * 1000)
                (root / f"gtFine/{name}_gtFine_polygons.json").write_text("{}")
    return root


@pytest.fixture
def gta5(tmp_path: Path) -> Path:
    """Six pairs of unlike sizes; palettes of 35, 20 and 13 colours (eight and four bits a pixel), and grey files."""
    root = tmp_path / "gta5"
    for i, (colors, top) in enumerate(((35, 35), (20, 20), (13, 13), (4, 4), (256, 34), (0, 35)), 1):
        size = (20 + i % 3, 36 + i % 2)
        write(root / f"images/{i:05}.png", photograph(30 * i, size))
        write(root / f"labels/{i:05}.png", np.resize(np.arange(top, dtype=np.uint8), size), colors)
    return root


def names(dataset: folders.PairedFiles) -> list[str]:
    return [image.name.removesuffix(".png").removesuffix("_leftImg8bit") for image, _ in dataset.pairs]


def test_cityscapes_numbers_become_training_ids(cityscapes: Path) -> None:
    dataset = data.open(f"cityscapes:{cityscapes}", size=(10, 18))
    labels = dataset.labels(0)
    assert labels.shape == SIZE and labels.dtype == torch.int64
    wanted = [CLASSES.index(BY_HAND[n]) if n in BY_HAND else IGNORE for n in range(34)] + [IGNORE]
    assert labels.flatten()[:35].tolist() == wanted
    assert len(dataset) == 4 and dataset.classes == tuple(range(19)) and dataset.size == (10, 18)
    image, small = dataset[3]
    assert image.shape == (3, 10, 18) and small.shape == (10, 18) and small.dtype == torch.int64
    assert names(dataset)[2:] == ["aachen_000000_000002", "bremen_000000_000000"]
    assert data.inspect(f"cityscapes:{cityscapes}") == []


def test_cityscapes_splits_are_those_on_disk_and_one_without_labels_is_an_unlabelled_set(cityscapes: Path) -> None:
    assert data.Cityscapes.splits(cityscapes) == ["test", "train", "val"]
    assert [len(data.open(f"cityscapes:{cityscapes}", split)) for split in ("train", "val", "test")] == [4, 2, 1]
    test = data.open(f"cityscapes:{cityscapes}", "test")
    assert not test.has_labels and test.image(0).shape == (3, 96, 192) and test.check() == []
    line = f"has no labels of split 'test'; expected a folder {cityscapes / 'gtFine' / 'test'}"
    for needs_labels in (lambda: test.labels(0), lambda: test[0], test.prepare):
        with pytest.raises(ValueError, match=re.escape(line)):
            needs_labels()
    with pytest.raises(ValueError, match="leftImg8bit: has no split 'tune'; found test, train, val"):
        data.open(f"cityscapes:{cityscapes}", "tune")


def test_gta5_indices_are_exact_in_every_kind_of_palette(gta5: Path) -> None:
    dataset = data.open(f"gta5:{gta5}")
    for i, top in enumerate((35, 20, 13, 4, 34, 35)):
        with Image.open(gta5 / f"labels/{i + 1:05}.png") as file:
            assert (file.mode, dataset.labels(i).shape) == ("L" if i == 5 else "P", file.size[::-1])
        wanted = [CLASSES.index(BY_HAND[n]) if n in BY_HAND else IGNORE for n in range(top)]
        assert dataset.labels(i).flatten()[: 2 * top].tolist() == 2 * wanted
    assert len({dataset.labels(i).shape for i in range(6)}) > 2 and dataset[0][0].shape == (3, 96, 192)
    assert data.inspect(f"gta5:{gta5}") == []


def test_gta5_skips_pairs_of_unlike_size_with_one_warning(gta5: Path) -> None:
    for name in ("00002", "00005"):
        write(gta5 / f"labels/{name}.png", NUMBERS[:5])
    with pytest.warns(UserWarning) as caught:
        dataset = data.open(f"gta5:{gta5}")
    (line,) = [str(warning.message) for warning in caught]
    assert line == f"gta5:{gta5}: 2 pair(s) skipped, as the label is not as large as its image: 00002, 00005"
    assert names(dataset) == ["00001", "00003", "00004", "00006"]
    assert [dataset.image_id(i) for i in range(4)] == [0, 2, 3, 5]  # numbers of the whole split
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        problems = data.inspect(f"gta5:{gta5}")
    assert problems[0] == f"{gta5}/labels/00002.png: is 36×5; expected 36×22 as 00002.png, replace one"
    assert len(problems) == 2 and "00005" in problems[1]
    with pytest.warns(UserWarning, match="skipped"):
        assert names(data.open(f"gta5:{gta5}?n=4")) == names(dataset)
    with pytest.raises(ValueError, match="4 in split 'train', 5 wanted"):
        data.open(f"gta5:{gta5}?n=5")
    for i in range(100, 112):
        write(gta5 / f"images/{i:05}.png", photograph())
        write(gta5 / f"labels/{i:05}.png", NUMBERS[:5])
    with pytest.warns(UserWarning, match=r"14 pair\(s\) skipped.*: 00002, 00005, 00100, .*, 00107 and 4 more$"):
        data.open(f"gta5:{gta5}")


def test_gta5_reads_no_more_headers_than_a_subset_needs(gta5: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened, open_file = [], folders.open_file
    monkeypatch.setattr(folders, "open_file", lambda *a, **k: (opened.append(k), open_file(*a, **k))[1])
    data.open(f"gta5:{gta5}?n=2")
    assert opened == [{"header": True}] * 4


def test_gta5_takes_its_splits_from_lists(gta5: Path) -> None:
    with pytest.raises(ValueError) as error:
        data.open(f"gta5:{gta5}", "val")
    fix = f"name another --target to evaluate on, or write {gta5 / 'val.txt'}, an image's name a line"
    assert str(error.value) == f"gta5 has no split 'val' of its own in {gta5}; {fix}"
    assert data.GTA5.splits(gta5) == ["train"]
    (gta5 / "val.txt").write_text("00002.png\n00004\n")
    (gta5 / "README.txt").write_text("nothing of this is a name\n")
    assert names(data.open(f"gta5:{gta5}", "val")) == ["00002", "00004"]
    train = data.open(f"gta5:{gta5}")
    assert names(train) == ["00001", "00003", "00005", "00006"] and train.image_id(1) == 1
    assert data.GTA5.splits(gta5) == ["train", "val"] and data.inspect(f"gta5:{gta5}") == []
    (gta5 / "train.txt").write_text("00006\n00004\n")
    assert names(data.open(f"gta5:{gta5}")) == ["00004", "00006"]


@pytest.mark.parametrize(
    ("options", "split", "wanted"),
    [
        ("list=few.txt", "train", ["aachen_000000_000001", "bremen_000000_000000"]),
        ("list=few.txt&n=1&seed=3", "train", 1),
        ("n=2", "train", 2),
        ("n=2&seed=1", "val", ["lindau_000000_000000", "lindau_000000_000001"]),
        ("train=3&val=1&n=2", "train", 3),
        ("train=3&val=1&n=2", "val", 1),
        ("train=few.txt&n=1&list=nowhere.txt", "train", ["aachen_000000_000001", "bremen_000000_000000"]),
        ("train=few.txt", "val", 2),
        ("size=8x16&n=1", "train", 1),
    ],
)
def test_every_form_of_a_subset(cityscapes: Path, options: str, split: str, wanted: int | list[str]) -> None:
    (cityscapes / "few.txt").write_text("# names\n\nbremen_000000_000000\n aachen/aachen_000000_000001  \n")
    spec = f"cityscapes:{cityscapes}?{options}"
    dataset, whole = data.open(spec, split), data.open(f"cityscapes:{cityscapes}", split)
    assert dataset.spec == spec and dataset.size == ((8, 16) if "size" in options else (96, 192))
    assert names(dataset) == sorted(names(dataset)) and names(dataset) == names(data.open(spec, split))
    assert names(dataset) == wanted if isinstance(wanted, list) else len(dataset) == wanted
    ids = [dataset.image_id(i) for i in range(len(dataset))]
    assert [names(whole)[number] for number in ids] == names(dataset)  # a number does not depend on the subset
    assert torch.equal(dataset.labels(0), whole.labels(ids[0])) and data.inspect(spec.split("?")[0]) == []


def test_a_draw_depends_on_its_seed(gta5: Path) -> None:
    drawn = [tuple(names(data.open(f"gta5:{gta5}?n=3&seed={seed}"))) for seed in range(8)]
    assert len(set(drawn)) > 3 and drawn[0] == tuple(names(data.open(f"gta5:{gta5}?n=3")))


@pytest.mark.parametrize("line", ["{0}", "aachen/{0}", "{0}_leftImg8bit.png", "aachen\\{0}_gtFine_labelIds.png"])
def test_a_list_may_name_images_in_many_ways(
    cityscapes: Path, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "one.txt").write_text("\ufeff" + line.format("aachen_000000_000002"), encoding="utf-8")
    for path in ("one.txt", tmp_path / "one.txt"):  # in the working folder, absolute
        assert names(data.open(f"cityscapes:{cityscapes}?list={path}")) == ["aachen_000000_000002"]
    (cityscapes / "one.txt").write_text("bremen_000000_000000")  # DIR comes first
    assert names(data.open(f"cityscapes:{cityscapes}?list=one.txt")) == ["bremen_000000_000000"]


@pytest.mark.parametrize(
    ("options", "text", "message"),
    [
        (
            "list=l.txt",
            "# all\naachen_9\n",
            "l.txt, line 2: 'aachen_9' names no pair of split 'train'; expected one name",
        ),
        ("list=l.txt", "aachen_000000_000000\naachen/aachen_000000_000000\n", "l.txt, line 2: .* named in line 1; del"),
        ("list=l.txt", "# none\n\n", "l.txt: names no pair; expected one name a line, such as aachen/aachen_0"),
        ("train=l.txt", "lindau_000000_000000", "l.txt, line 1: 'lindau_000000_000000' names no pair of split 'train'"),
        ("list=no.txt", "", "no.txt: no such list, nor in the working folder"),
        ("n=5", "", "cityscapes:.*: 4 in split 'train', 5 wanted; ask for fewer .*train=N"),
        ("n=0", "", "n is '0' in 'cityscapes:.*'; expected a number of pairs, from 1 up"),
        ("n=many", "", "n is 'many'"),
        ("train=0", "", "train is '0' in .* expected a number of pairs, or a text file"),
        ("val=", "", "val is ''"),
        ("n=2&seed=-1", "", "seed is '-1' in .*; expected a whole number, from 0 up"),
        ("list=", "", "list is ''"),
        ("size=720", "", "size is '720' in .*; expected HEIGHTxWIDTH, such as 720x1280"),
        ("size=0x5", "", "size is '0x5'"),
        (
            "sead=1",
            "",
            "unknown option 'sead'.*did you mean 'seed'.*known: n, seed, list, size, train, tune, val, test",
        ),
    ],
)
def test_a_wrong_subset_is_one_clear_line(cityscapes: Path, options: str, text: str, message: str) -> None:
    (cityscapes / "l.txt").write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        data.open(f"cityscapes:{cityscapes}?{options}")
    assert "\n" not in str(error.value)
    assert any(re.search(message, line) for line in data.inspect(f"cityscapes:{cityscapes}?{options}"))


def test_a_name_that_two_folders_hold_needs_its_folder(gta5: Path) -> None:
    for folder in ("images", "labels"):
        for part in "ab":
            write(gta5 / folder / part / "same.png", photograph() if folder == "images" else NUMBERS)
    (gta5 / "l.txt").write_text("a/same\n")
    assert [path.parent.name for path, _ in data.open(f"gta5:{gta5}?list=l.txt").pairs] == ["a"]
    (gta5 / "l.txt").write_text("same\n")
    with pytest.raises(ValueError, match="'same' names no pair"):
        data.open(f"gta5:{gta5}?list=l.txt")


def test_the_reports_protocol_and_a_question_mark_in_a_folder(gta5: Path, cityscapes: Path) -> None:
    source = data.open(f"gta5:{gta5}?n=5&size=24x48", size=(16, 32))
    target = data.open(f"cityscapes:{cityscapes}?train=3&val=2", size=(16, 32))
    assert (len(source), source.size, source[0][0].shape) == (5, (24, 48), (3, 24, 48))
    assert (len(target), target.size) == (3, (16, 32))
    odd = shutil.move(gta5, gta5.parent / "what?")
    assert len(data.open(f"gta5:{odd}")) == 6 and len(data.open(f"gta5:{odd}?n=2")) == 2


def halve(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def empty(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


IMAGE, LABELS = "aachen/aachen_000000_000001_leftImg8bit.png", "aachen/aachen_000000_000001_gtFine_labelIds.png"
WRONG = NUMBERS.copy()
WRONG[2, 3:5] = 77, 34
NEEDED = "needs the folders leftImg8bit/ and gtFine/; found"


@pytest.mark.parametrize(
    ("spec", "damage", "line"),
    [
        ("cityscapes:", lambda c: halve(c / "leftImg8bit/train" / IMAGE), f"{IMAGE}: cannot be read \\(.*trunc.*again"),
        ("cityscapes:", lambda c: halve(c / "gtFine/train" / LABELS), f"{LABELS}: cannot be read \\(.*; copy it again"),
        (
            "cityscapes:",
            lambda c: write(c / "gtFine/train" / LABELS, WRONG),
            r"number\(s\) 34, 77; expected Cityscapes'",
        ),
        (
            "cityscapes:",
            lambda c: write(c / "gtFine/train" / LABELS, photograph()),
            f"{LABELS}: has mode RGB; expected",
        ),
        (
            "cityscapes:",
            lambda c: write(c / "gtFine/train" / LABELS, np.dstack([photograph(), NUMBERS])),
            f"{LABELS}: has mode RGBA; expected one number a pixel",
        ),
        (
            "cityscapes:",
            lambda c: write(c / "gtFine/train" / LABELS, NUMBERS[:9]),
            f"{LABELS}: is 36×9; expected 36×20 as {Path(IMAGE).name}, replace one",
        ),
        (
            "cityscapes:",
            lambda c: (c / "gtFine/train" / LABELS).unlink(),
            f"{IMAGE}: has no partner; expected one named {LABELS} in .*gtFine.train, or delete it",
        ),
        (
            "cityscapes:",
            lambda c: (c / "leftImg8bit/train" / IMAGE).unlink(),
            f"{LABELS}: has no partner; expected one named {IMAGE} in .*leftImg8bit.train, or delete it",
        ),
        (
            "cityscapes:",
            lambda c: empty(c / "leftImg8bit/train"),
            "leftImg8bit.train: holds no file .*_leftImg8bit.png;",
        ),
        ("cityscapes:", lambda c: empty(c / "gtFine/train"), "gtFine.train: holds no file .*_gtFine_labelIds.png;"),
        ("cityscapes:", lambda c: shutil.rmtree(c / "gtFine"), f"cityscapes: {NEEDED} leftImg8bit$"),
        ("cityscapes:", lambda c: shutil.rmtree(c / "leftImg8bit"), f"cityscapes: {NEEDED} gtFine$"),
        ("cityscapes:..", lambda c: None, f"{NEEDED} cityscapes, gta5; did you mean .*cityscapes.?$"),
        ("cityscapes:leftImg8bit", lambda c: None, f"{NEEDED} test, train, val; did you mean .*cityscapes.?$"),
        ("cityscapes:nowhere", lambda c: None, "nowhere: no such folder; check the path of cityscapes:"),
        ("gta5:", lambda g: halve(g / "images/00002.png"), r"images.00002.png: cannot be read \(.*truncated"),
        ("gta5:", lambda g: halve(g / "labels/00002.png"), r"labels.00002.png: cannot be read \("),
        ("gta5:", lambda g: (g / "labels/00002.png").write_bytes(b""), r"labels.00002.png: cannot be read \("),
        (
            "gta5:",
            lambda g: write(g / "labels/00002.png", np.full((22, 36), 35, np.uint8)),
            r"00002.png: holds the number\(s\) 35; expected labelIds, 0 to 34 or 255",
        ),
        (
            "gta5:",
            lambda g: write(g / "labels/00002.png", photograph(9, (22, 36))),
            "labels.00002.png: has mode RGB; expected one number a pixel",
        ),
        (
            "gta5:",
            lambda g: (g / "images/00002.png").unlink(),
            "00002.png: has no partner; expected one named 00002 in ",
        ),
        ("gta5:", lambda g: empty(g / "labels"), "labels: holds no file .*.png, .*unpack it again"),
        ("gta5:", lambda g: shutil.rmtree(g / "labels"), "gta5: needs the folders images/ and labels/; found images$"),
        ("gta5:", lambda g: (g / "val.txt").write_text("7\n"), "val.txt, line 1: '7' names no pair of split 'train'"),
    ],
)
def test_a_bad_tree_is_one_line(
    cityscapes: Path, gta5: Path, spec: str, damage: Callable[[Path], object], line: str
) -> None:
    scheme, _, inside = spec.partition(":")
    root = {"cityscapes": cityscapes, "gta5": gta5}[scheme]
    damage(root)
    spec = f"{scheme}:{root / inside}"
    with pytest.raises(ValueError, match=line) as error, warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = data.open(spec)
        [dataset[i] for i in range(len(dataset))]
    assert "\n" not in str(error.value)
    found = data.inspect(spec)
    assert re.search(line, found[0]) and len(found) == 1 + ("val.txt" in line)


def test_inspect_lists_everything_of_all_splits_at_once(cityscapes: Path) -> None:
    train, val = cityscapes / "gtFine/train/aachen", cityscapes / "gtFine/val/lindau"
    write(train / "aachen_000000_000000_gtFine_labelIds.png", NUMBERS[:9])
    write(train / "aachen_000000_000001_gtFine_labelIds.png", WRONG)
    halve(cityscapes / "leftImg8bit/train/aachen/aachen_000000_000002_leftImg8bit.png")
    (val / "lindau_000000_000000_gtFine_labelIds.png").unlink()
    halve(val / "lindau_000000_000001_gtFine_labelIds.png")
    halve(cityscapes / "leftImg8bit/test/b/b_000000_000000_leftImg8bit.png")
    problems = data.inspect(f"cityscapes:{cityscapes}")
    wanted = [
        "b_000000_000000.*cannot",
        "000002.*cannot",
        "000000.*is 36×9",
        "000001.*holds",
        "has no partner",
        "cannot",
    ]
    assert len(problems) == len(wanted)
    assert all(re.search(pattern, line) for pattern, line in zip(wanted, problems, strict=True))
    assert problems[-1].startswith(os.fspath(val))


def test_inspect_lists_every_broken_file_of_gta5_at_once(gta5: Path) -> None:
    for path in ("labels/00002.png", "images/00004.png"):
        (gta5 / path).write_bytes(b"")
    write(gta5 / "labels/00005.png", NUMBERS[:5])
    wanted = [r"00005.png: is 36×5", r"images.00004.png: cannot be read", r"labels.00002.png: cannot be read"]
    problems = data.inspect(f"gta5:{gta5}")
    assert len(problems) == 3 and all(map(re.search, wanted, problems))
