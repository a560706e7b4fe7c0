"""The verb `minida label`: the strategy's labels as PNGs, and what they are worth."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image

import minida
from minida.__main__ import main
from minida.data import normalise
from minida.data.base import SegmentationDataset, resize_labels
from minida.inference import label_dataset, write_palette_png
from minida.labeling import DARS, Confidence, predict
from minida.storage import read_metadata, save_model

SIZE = (32, 64)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A network that favours a few classes, in a file."""
    file = tmp_path_factory.mktemp("model") / "model.safetensors"
    torch.manual_seed(0)
    network = minida.BiSeNet(19, "slim")
    with torch.no_grad():
        network.head.bias[4:] -= 3
    prior = np.arange(1, 20) / 190
    save_model(file, network, minida.types.CITYSCAPES, prior, SIZE)
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Five pictures with labels, two of them at another size; and the pictures alone."""
    root, rng = tmp_path_factory.mktemp("data"), np.random.default_rng(0)
    for name in ("labelled/images", "labelled/labels", "alone/images"):
        (root / name).mkdir(parents=True)
    for number in range(5):
        size = (64, 32) if number < 3 else (128, 64)
        picture = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), np.uint8))
        labels = rng.integers(0, 5, (size[1], size[0])).astype(np.uint8)
        labels[labels == 4] = minida.IGNORE
        for name in ("labelled", "alone"):
            picture.save(root / name / "images" / f"street{number}.png")
        Image.fromarray(labels).save(root / "labelled" / "labels" / f"street{number}.png")
    return root


def answer(capsys, *arguments):
    """The verb's JSON on standard output, which must hold nothing else."""
    assert main(["label", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys, *arguments):
    """The one line of a verb that must refuse its arguments."""
    try:
        assert main(["label", *map(str, arguments)]) == 2
    except SystemExit as stop:  # argparse
        assert stop.code == 2
    error = capsys.readouterr().err.strip()
    assert "\n" not in error and error.startswith("minida")
    return error


def written(out):
    return np.stack([np.array(Image.open(file)) for file in sorted(out.glob("*.png"))])


def labels_by_hand(model, data, strategy, flip=False):
    network = minida.load(model)
    images = torch.stack([normalise(data.image(i)) for i in range(len(data))])
    strategy.observe(probs := predict(network, images, flip))
    strategy.fit()
    return strategy.label(probs, torch.arange(len(data))).numpy()


@pytest.fixture
def exact(monkeypatch):
    """Predictions in float32, so that no tie is broken differently."""
    monkeypatch.setattr("minida.inference.faster_in_bfloat16", lambda device: False)


def test_the_pngs_are_the_strategys_labels(model, folder, tmp_path, capsys, exact):
    spec, data = f"folder:{folder / 'labelled'}", minida.data.open(f"folder:{folder / 'labelled'}", "train", SIZE)
    prior = read_metadata(model).class_frequency
    images = torch.stack([normalise(data.image(i)) for i in range(5)])
    half = float(predict(minida.load(model), images).amax(1).median())
    cases = (
        ("dars", ["--ratio", "0.3", "--seed", "5"], DARS(prior, 0.3, seed=5)),
        ("dars", ["--ratio", "0.2", "--flip", "--temperature", "2"], DARS(prior, 0.2, temperature=2.0)),
        ("st", ["--threshold", str(half)], Confidence(19, threshold=half)),
        ("dars", ["--prior", spec, "--ratio", "0.4"], DARS(data.class_frequency(), 0.4)),
    )
    for number, (name, options, strategy) in enumerate(cases):
        out = tmp_path / str(number)
        found = answer(capsys, model, "--data", spec, "--strategy", name, *options, "--out", out)
        wanted = labels_by_hand(model, data, strategy, "--flip" in options)
        assert (written(out) != wanted).mean() < 1e-3  # predicted in other batches: a pixel on the threshold may differ
        assert 0 < (wanted != minida.IGNORE).mean() < 1 and found["images"] == 5
        assert sorted(file.name for file in out.iterdir()) == ["quality.json", *(f"street{i}.png" for i in range(5))]
        assert json.loads((out / "quality.json").read_text()) == found
        wanted = written(out)
        assert found["coverage"] == pytest.approx((wanted != minida.IGNORE).mean())
    picture = Image.open(out / "street0.png")
    assert picture.mode == "P" and picture.size == (64, 32)
    colours, believed = np.array(picture.convert("RGB")), wanted[0] != minida.IGNORE
    np.testing.assert_array_equal(colours[believed], minida.PALETTE[wanted[0][believed]])
    assert not colours[~believed].any()


def test_the_palette_has_an_entry_for_what_is_not_believed(tmp_path):
    """A value without an entry is an error in a PNG, and viewers differ in what they do with it."""
    write_palette_png(tmp_path / "x.png", np.full((4, 6), minida.IGNORE, np.uint8))
    data = (tmp_path / "x.png").read_bytes()
    start = data.index(b"PLTE")
    assert int.from_bytes(data[start - 4 : start]) == 3 * 256
    assert (np.array(Image.open(tmp_path / "x.png")) == minida.IGNORE).all()


def test_the_numbers_by_hand(model, folder, tmp_path, capsys, exact):
    spec = f"folder:{folder / 'labelled'}"
    found = answer(capsys, model, "--data", spec, "--strategy", "dars", "--ratio", "0.3", "--out", tmp_path / "out")
    pseudo, truth = written(tmp_path / "out"), []
    for number in range(5):  # the nearest pixel's label, where they are larger than the network's pictures
        labels = np.array(Image.open(folder / "labelled" / "labels" / f"street{number}.png"))
        step = labels.shape[0] // 32
        truth.append(labels[step // 2 :: step, step // 2 :: step])
    truth = np.stack(truth)
    given, known = pseudo != minida.IGNORE, truth != minida.IGNORE
    assert found["coverage"] == pytest.approx(given.mean())
    assert found["accuracy"] == pytest.approx((pseudo == truth)[given & known].mean())
    share = np.array([(pseudo == c).sum() for c in range(19)]) / given.sum()
    own = np.array([sum((labels == c).sum() for labels in all_labels(folder)) for c in range(19)], float)

    def kl(prior):
        first, second = (part / part.sum() + 1e-6 for part in (prior, share))
        first, second = first / first.sum(), second / second.sum()
        return sum(a * math.log(a / b) for a, b in zip(first, second, strict=True))

    assert found["kl"] == pytest.approx(kl(np.arange(1.0, 20))) and found["kl_to_truth"] == pytest.approx(kl(own))
    assert list(found["classes"]) == list(minida.CLASSES)
    for c, row in enumerate(found["classes"].values()):
        assert row["share"] == pytest.approx(share[c])
        for key, hits, of in (
            ("coverage", (truth == c) & given, truth == c), ("accuracy", (pseudo == truth)[:], (pseudo == c) & known)
        ):  # fmt: skip
            assert row[key] == (pytest.approx((hits & of).sum() / of.sum()) if of.any() else None), (c, key)
    assert found["data"] == f"{spec} train"


def all_labels(folder):
    """At the size that the network sees, which is what is judged."""
    files = (folder / "labelled" / "labels").glob("*.png")
    return [resize_labels(torch.from_numpy(np.array(Image.open(file))).long(), SIZE).numpy() for file in files]


def test_without_labels_it_says_what_it_can(model, folder, tmp_path, capsys, exact):
    arguments = [model, "--data", f"folder:{folder / 'alone'}", "--strategy", "mpt", "--cap", "0.8", "--out"]
    found = answer(capsys, *arguments, tmp_path / "out")
    assert set(found) == {"images", "data", "coverage", "kl", "classes"} and found["coverage"] > 0.4
    assert all(set(row) == {"share"} for row in found["classes"].values())
    assert main(["label", *map(str, arguments), str(tmp_path / "again")]) == 0
    text = capsys.readouterr().out
    assert "5 label maps" in text and "right" not in text and "  road " in text
    np.testing.assert_array_equal(written(tmp_path / "again"), written(tmp_path / "out"))


def test_with_labels_it_says_how_many_are_right(model, folder, tmp_path, capsys):
    spec = f"folder:{folder / 'labelled'}"
    assert main(["label", str(model), "--data", spec, "--strategy", "cbst", "--out", str(tmp_path / "out")]) == 0
    text = capsys.readouterr().out
    assert "% of those right; KL" in text and "accuracy" in text


def test_nothing_believed_is_no_mistake(model, folder, tmp_path, capsys):
    found = answer(
        capsys, model, "--data", f"folder:{folder / 'labelled'}", "--strategy", "st", "--threshold", "1", "--out",
        tmp_path / "out",
    )  # fmt: skip
    assert found["coverage"] == 0 and found["kl"] is found["accuracy"] is found["classes"]["road"]["share"] is None
    assert (written(tmp_path / "out") == minida.IGNORE).all()


def test_mistakes_get_one_line(model, folder, tmp_path, capsys):
    spec, out = f"folder:{folder / 'labelled'}", tmp_path / "out"
    arguments = [model, "--data", spec, "--strategy"]
    assert refused(capsys, *arguments, "darz", "--out", out) == (
        "minida: unknown strategy 'darz'; did you mean 'dars'? (or FILE.py:CLASS)"
    )
    assert "give one of both, such as threshold=0.9" in refused(capsys, *arguments, "st", "--out", out)
    assert "ratio is 2.0; expected a share" in refused(capsys, *arguments, "dars", "--ratio", "2", "--out", out)
    assert "invalid float value: 'a,b'" in refused(capsys, *arguments, "dars", "--ratio", "a,b", "--out", out)
    assert "arguments are required: --strategy" in refused(capsys, model, "--data", spec, "--out", out)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    line = refused(capsys, *arguments, "dars", "--out", tmp_path / "full")
    assert line == f"minida: {tmp_path / 'full'} is no empty folder; choose another --out"
    assert [file.name for file in (tmp_path / "full").iterdir()] == ["mine.txt"]
    foreign = tmp_path / "foreign"
    for part in ("images", "labels"):
        (foreign / part).mkdir(parents=True)
        Image.new("L", (64, 32)).convert("RGB" if part == "images" else "L").save(foreign / part / "a.png")
    table = [{"name": name, "color": [index, 0, 0], "id": index} for index, name in enumerate(("road", "car"))]
    (foreign / "classes.json").write_text(json.dumps(table))
    line = refused(capsys, model, "--data", f"folder:{foreign}", "--strategy", "dars", "--out", out)
    assert line == f"minida: folder:{foreign} has other classes than {model}; expected the same names"
    assert "has other classes than" in refused(capsys, *arguments, "dars", "--prior", f"folder:{foreign}", "--out", out)
    assert "no labels" in refused(capsys, *arguments, "dars", "--prior", f"folder:{folder / 'alone'}", "--out", out)
    assert not out.exists()


class Curious(SegmentationDataset):
    """Three black images; remembers when its labels were read."""

    spec, name, size, classes = "curious", "curious", SIZE, (0, 1)

    def __init__(self):
        self.read = []

    def __len__(self):
        return 3

    def image(self, index):
        return torch.zeros(3, *SIZE, dtype=torch.uint8)

    def labels(self, index):
        self.read.append(index)
        return torch.zeros(SIZE, dtype=torch.long)


def test_the_truth_is_read_for_the_report_alone(model, tmp_path):
    class Watching(Confidence):
        def label(self, probs, ids=None):
            assert data.read == [], "the labels were read before the pseudo-labels were made"
            return super().label(probs, ids)

    data = Curious()
    label_dataset(minida.load(model), Watching(19, threshold=0.0), data, np.ones(19), tmp_path, progress=False)
    assert data.read[:3] == [0, 1, 2] and sorted(file.stem for file in tmp_path.glob("*.png")) == [
        "00000", "00001", "00002",
    ]  # fmt: skip


def test_names_keep_their_folders_and_dots(model, tmp_path, capsys):
    for name in ("a/0", "b/0", "frame.1", "frame.2"):
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", SIZE[::-1]).save(tmp_path / "images" / f"{name}.png")
    answer(capsys, model, "--data", f"folder:{tmp_path}", "--strategy", "mpt", "--out", tmp_path / "out")
    found = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png"))
    assert found == ["a/0.png", "b/0.png", "frame.1.png", "frame.2.png"]


def test_a_truth_that_says_nothing(model, tmp_path, capsys):
    for part, mode in (("images", "RGB"), ("labels", "L")):
        (tmp_path / part).mkdir()
        Image.new(mode, SIZE[::-1], 255 if mode == "L" else None).save(tmp_path / part / "0.png")
    given = ["--data", f"folder:{tmp_path}", "--strategy", "mpt", "--out", tmp_path / "out"]
    found = answer(capsys, model, *given)
    assert found["accuracy"] is None and found["kl_to_truth"] is None and (tmp_path / "out" / "quality.json").exists()


def test_an_option_of_another_strategy_is_refused(model, folder, tmp_path, capsys):
    given = [model, "--data", f"folder:{folder / 'alone'}", "--strategy", "dars", "--cap", "0.5"]
    line = refused(capsys, *given, "--out", tmp_path / "out")
    assert line == "minida: cap is no option of strategy 'dars'; leave it out" and not (tmp_path / "out").exists()
