"""Data trees: pictures, label maps, class tables and lists of names that are damaged, and files that are no files."""

import io
import json
import os
from contextlib import suppress
from pathlib import Path
from random import Random

import numpy as np
import pytest
from harness import Case, campaign
from mutations import odd_picture, png_of_any_header, spoil_bytes, spoil_json, spoil_text
from PIL import Image
from trees import CLASSES_JSON, LAYOUTS, SIZE, photograph, png, write_tree

from minida import data
from minida.data.folders import DataError, PairedFiles, open_picture
from minida.data.layouts import read_classes
from minida.types import IGNORE


def spoil_png(rng: Random, good: bytes) -> tuple[str, bytes]:
    """What was done, and a picture file: with damaged bytes, with another header, or another picture altogether."""
    kind = rng.choice(("bytes", "bytes", "bytes", "bytes", "header", "picture", "picture"))
    if kind == "bytes":
        return kind, spoil_bytes(rng, good)
    return kind, png_of_any_header(rng, good) if kind == "header" else odd_picture(rng, SIZE)


def allowed(dataset: PairedFiles, labels: object) -> None:
    """No label that the data set does not define."""
    found = set(np.unique(np.asarray(labels)).tolist())
    assert found <= {*dataset.classes, IGNORE}, f"invented {found - {*dataset.classes, IGNORE}}"


@pytest.fixture
def plain(tmp_path: Path) -> PairedFiles:
    write_tree(tmp_path / "inside" / "folder", LAYOUTS["folder"])
    return data.open(f"folder:{tmp_path / 'inside' / 'folder'}", size=SIZE)


def test_label_files(plain: PairedFiles, tmp_path: Path) -> None:
    path = plain.pairs[0][1]
    good, truth = path.read_bytes(), plain.labels(0)

    def case(rng: Random, inside: Path) -> Case:
        kind, content = spoil_png(rng, good)

        def read() -> list:
            path.write_bytes(content)
            labels = plain.labels(0)
            allowed(plain, labels)
            if kind == "bytes":
                assert labels.equal(truth), "a damaged file was read as other labels"
            else:
                with Image.open(io.BytesIO(content)) as image:
                    numbers = np.array(image)
                expected = {7: 0, 3: 1, 255: 255}
                assert labels.tolist() == [[expected[number] for number in row] for row in numbers.tolist()]
            return [plain.label_counts(0).sum()]

        return f"{kind}, {len(content)} bytes", read

    campaign("label files", case, tmp_path, names=(path.name,), most_ok=0.5)


def test_image_files(plain: PairedFiles, tmp_path: Path) -> None:
    path, truth = plain.pairs[0][0], photograph(ord("a"))
    good = path.read_bytes()

    def case(rng: Random, inside: Path) -> Case:
        kind, content = spoil_png(rng, good)

        def read() -> list:
            path.write_bytes(content)
            image = np.array(open_picture(path))
            assert image.ndim == 3 and image.dtype == np.uint8
            assert kind != "bytes" or np.array_equal(image, truth), "a damaged file was read as another picture"
            assert plain.image(0).shape == (3, *SIZE)
            return [image.mean()]

        return f"{kind}, {len(content)} bytes", read

    campaign("image files", case, tmp_path, names=(path.name,), most_ok=0.6)


def test_class_tables(tmp_path: Path) -> None:
    def case(rng: Random, inside: Path) -> Case:
        content = spoil_json(rng, CLASSES_JSON)

        def read() -> tuple:
            (inside / "classes.json").write_bytes(content)
            table = read_classes(inside / "classes.json")
            count = len(table.names)
            assert len(set(table.names)) == len(set(table.ids)) == len(table.palette) == count >= 1
            assert all(type(number) is int and 0 <= number < IGNORE for number in table.ids), table.ids
            assert table.palette.dtype == np.uint8 and table.palette.shape == (count, 3)
            assert all(isinstance(name, str) for name in table.names)
            return table.names

        return repr(content[:300]), read

    campaign("classes.json", case, tmp_path, names=("classes.json",))


def _other_name(rng: Random, files: dict, name: str) -> str:
    files[spoil_text(rng, name, ["é", "\n", " ", ".", "a\u0301", "A", "_", "🚗"])] = files.pop(name)
    return f"{name} renamed"


def _away(rng: Random, files: dict, name: str) -> str:
    del files[name]
    return f"{name} gone"


def _spoiled(rng: Random, files: dict, name: str) -> str:
    if name.endswith(".png"):
        kind, files[name] = spoil_png(rng, files[name])
    else:
        kind, files[name] = "text", spoil_json(rng, CLASSES_JSON) if ".json" in name else spoil_bytes(rng, files[name])
    return f"{name} spoiled ({kind})"


def _twice(rng: Random, files: dict, name: str) -> str:
    files[name.rpartition(".")[0] + rng.choice((".jpg", ".PNG", ".tif", ".txt"))] = files[name]
    return f"{name} twice"


def _numbers(rng: Random, files: dict, name: str) -> str:
    if name.endswith(".png"):
        most = rng.choice((1, 12, 35, 256))
        pixels = np.random.default_rng(rng.randrange(2**32)).integers(0, most, rng.choice((SIZE, (9, 9))), np.uint8)
        files[name] = png(pixels, palette=rng.random() < 0.5)
    return f"{name} of other numbers"


def _special(rng: Random, files: dict, name: str) -> str:
    files[name] = rng.choice(("folder", "pipe", "loop", "nowhere", "empty", "closed"))
    return f"{name} as {files[name]}"


CHANGES = (_other_name, _away, _spoiled, _spoiled, _spoiled, _twice, _numbers, _numbers, _special, _special)


def place(path: Path, kind: str) -> None:
    """Put something that is no file where a file is expected."""
    path.unlink(missing_ok=True)
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe" and hasattr(os, "mkfifo"):
        os.mkfifo(path)
    elif kind in ("loop", "nowhere"):
        path.symlink_to(path.name if kind == "loop" else "not-there")
    else:
        path.write_bytes(b"")
        path.chmod(0o000 if kind == "closed" else 0o644)


def test_trees(tmp_path: Path) -> None:
    def case(rng: Random, inside: Path) -> Case:
        kind = rng.choice(list(LAYOUTS))
        files = dict(LAYOUTS[kind])
        done = []
        for _ in range(rng.choice((1, 1, 2, 4))):
            whole = [name for name, content in files.items() if isinstance(content, bytes)]
            done.append(rng.choice(CHANGES)(rng, files, rng.choice(whole)))
        split, query = rng.choice(("train", "val")), rng.choice(("", "", "?n=2", "?list=names.txt"))
        root = inside / kind

        write_tree(root, {name: content for name, content in files.items() if isinstance(content, bytes)})
        for name, content in files.items():
            if isinstance(content, str):
                with suppress(OSError):
                    (root / name).parent.mkdir(parents=True, exist_ok=True)
                    place(root / name, content)

        def read() -> list:
            problems = data.inspect(f"{kind}:{root}")
            assert all(len(line.splitlines()) == 1 and line.strip() for line in problems), problems
            dataset = data.open(f"{kind}:{root}{query}", split, SIZE)
            dataset.prepare(labels=dataset.has_labels)
            for index in range(len(dataset)):
                image, labels = dataset[index] if dataset.has_labels else (dataset.image(index), [IGNORE])
                assert tuple(image.shape) == (3, *SIZE)
                allowed(dataset, labels)
            return [dataset.class_frequency() if dataset.has_labels else 0.0]

        return f"{kind}: {'; '.join(done)}", read

    campaign("trees", case, tmp_path, names=(str(tmp_path / "inside"),))


def test_the_good_trees_are_good(tmp_path: Path) -> None:
    for kind, files in LAYOUTS.items():
        write_tree(tmp_path / kind, files)
        assert data.inspect(f"{kind}:{tmp_path / kind}") == []
        allowed(dataset := data.open(f"{kind}:{tmp_path / kind}", size=SIZE), dataset.labels(0))
    (tmp_path / "folder/classes.json").write_text(json.dumps(CLASSES_JSON[:1]))
    with pytest.raises(DataError, match="holds the number"):
        data.open(f"folder:{tmp_path / 'folder'}", size=SIZE).labels(0)
