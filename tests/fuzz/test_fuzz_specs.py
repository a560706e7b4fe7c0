"""Specs of data sets, splits and sizes: odd texts and options on folders that are fine."""

from pathlib import Path
from random import Random

import pytest
from harness import Case, campaign
from mutations import ODD_TEXTS, ODD_VALUES, spoil_text
from trees import LAYOUTS, write_tree

from minida import data
from minida.data.folders import PairedFiles
from minida.types import IGNORE

OPTIONS = (
    "n=1", "n=2", "n=0", "n=99", "seed=1", "seed=-1", "list=names.txt", "list=", "size=20x36", "size=0x1", "train=1",
    "val=names.txt", "gap=0.5", "gap=nan", "gap=2", "n=1e3", "n=٣", "seed=٣", "size=٣x٣", "size=20x36x1", "n=1&n=2",
    "list=../../outside/secret", "list=/", "list=.", "N=1", "&&&", "n",
)  # fmt: skip


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for kind in LAYOUTS:
        write_tree(tmp_path / "inside" / kind, LAYOUTS[kind])
    return tmp_path


def opened(spec: str, split: str, size: object) -> object:
    """What a spec opens is whole: one item or more, with names that stay below a folder, and labels of its classes."""
    dataset = data.open(spec, split, size)
    assert len(dataset) >= 1 and dataset.spec == spec
    names = [Path(dataset.image_name(index)) for index in range(min(len(dataset), 50))]
    assert not any(name.is_absolute() or ".." in name.parts for name in names), names
    if not isinstance(dataset, PairedFiles):
        return len(dataset)
    image, labels = dataset.image(0), dataset.labels(0) if dataset.has_labels else None
    assert image.shape[1:] == dataset.size
    assert labels is None or set(labels.unique().tolist()) <= {*dataset.classes, IGNORE}
    return len(dataset)


def spec_of(rng: Random, inside: Path) -> str:
    kind = rng.choice((*LAYOUTS, "minicity"))
    root = rng.choice(("game", "real")) if kind == "minicity" else str(inside / kind)
    query = "&".join(rng.sample(OPTIONS, rng.choice((0, 0, 1, 1, 2, 3))))
    return f"{kind}:{root}" + (f"?{query}" if query else "")


def test_specs(folders: Path) -> None:
    def case(rng: Random, inside: Path) -> Case:
        spec = spec_of(rng, inside)
        if "list=../../outside" in spec:
            spec = spec.replace("../../outside/secret", "names.txt")
        if rng.random() < 0.8:
            spec = spoil_text(rng, spec)
        run = data.inspect if rng.random() < 0.2 and "minicity" not in spec else None
        split = rng.choice(("train", "val"))
        if run is not None:
            return f"inspect({spec!r})", lambda: one_line_each(data.inspect(spec))
        return f"open({spec!r}, {split!r})", lambda: opened(spec, split, (20, 36))

    campaign("specs", case, folders)


def one_line_each(lines: list[str]) -> list[str]:
    assert all(len(line.splitlines()) == 1 for line in lines), lines
    return lines


def test_splits_and_sizes(folders: Path) -> None:
    def case(rng: Random, inside: Path) -> Case:
        kind = rng.choice((*LAYOUTS, "minicity"))
        spec = "minicity:real?n=8" if kind == "minicity" else f"{kind}:{inside / kind}"
        split, size = rng.choice(("train", "val", "test", "tune")), (20, 36)
        if rng.random() < 0.6:
            split = spoil_text(rng, split, [text for text in ODD_TEXTS if ".." not in text and text != "/"])
        if rng.random() < 0.6:
            size = rng.choice((rng.choice(ODD_VALUES), (rng.choice(ODD_VALUES), 36), (20, 20.0), (16, 16), (10**5, 1)))
        return f"open({spec!r}, {split!r}, {size!r})", lambda: opened(spec, split, size)

    campaign("splits and sizes", case, folders)
