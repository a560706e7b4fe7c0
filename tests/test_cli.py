import json

import numpy as np
import pytest
import torch
from PIL import Image

import minida
from minida.__main__ import main
from minida.storage import halve, read_metadata

SMALL = "minicity:real?n=8"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    command = ["train", "supervised", "--preset", "smoke", "--source", SMALL, "--out", str(folder), "--json"]
    assert main(command) == 0
    return folder


def answer(capsys, *arguments):
    """A verb's JSON on standard output, which must hold nothing else."""
    code = main([*arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def refused(capsys, *arguments):
    """The one line on standard error of a verb that must refuse its arguments."""
    try:
        assert main(list(arguments)) == 2
    except SystemExit as stop:  # argparse
        assert stop.code == 2
    error = capsys.readouterr().err.strip()
    assert "\n" not in error and error.startswith("minida")
    return error


def test_train_writes_what_it_says(run, capsys):
    code, record = answer(capsys, "evaluate", str(run), "--data", SMALL)
    stored = json.loads((run / "result.json").read_text())
    assert code == 0
    assert record["miou"] == pytest.approx(stored["miou"], abs=1e-6)
    assert stored["size"] == [64, 128] and stored["data"].endswith("val")


def test_training_takes_every_option(tmp_path, capsys):
    code, record = answer(
        capsys, "train", "supervised", "--preset", "smoke", "--source", SMALL, "--target", "minicity:game?n=8",
        "--size", "32x64", "--steps", "2", "--batch-size", "3", "--optimizer", "adam", "--lr", "0.002", "--seed", "5",
        "--backbone", "slim", "--labeled", "1/2", "--precision", "float32", "--out", str(tmp_path / "run"),
    )  # fmt: skip
    assert code == 0
    expected = {"size": [32, 64], "steps": 2, "batch_size": 3, "optimizer": "adam", "lr": 0.002, "seed": 5}
    assert {key: record[key] for key in expected} == expected
    assert record["data"].startswith("minicity:game")  # the evaluation is on the target


def test_predict_writes_label_maps_at_the_images_own_size(run, tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    Image.fromarray(pixels).save(photos / "a.png")
    Image.fromarray(pixels[:40]).save(photos / "b.jpg")
    code, record = answer(capsys, "predict", str(run), str(photos), "--out", str(tmp_path / "out"))
    assert code == 0 and record["images"] == 2
    labels = Image.open(tmp_path / "out" / "a.png")
    assert labels.mode == "P" and labels.size == (70, 50)
    assert np.array(labels).max() < 19
    np.testing.assert_array_equal(np.array(labels.convert("RGB")), minida.PALETTE[np.array(labels)])
    assert Image.open(tmp_path / "out" / "b_overlay.jpg").size == (70, 40)


def test_predict_is_the_network_at_its_size_and_the_decision_at_the_images(run, tmp_path):
    dataset = minida.data.open(SMALL, "val", (64, 128))
    Image.fromarray(dataset.image(0).permute(1, 2, 0).numpy()).save(tmp_path / "x.png")
    main(["predict", str(run), str(tmp_path / "x.png"), "--out", str(tmp_path), "--json"])
    written = torch.from_numpy(np.array(Image.open(tmp_path / "x.png")).astype(np.int64))
    probs = minida.load(run).probs(minida.data.normalise(dataset.image(0)[None]))
    assert (written == probs.argmax(1)[0]).float().mean() > 0.97  # bfloat16 may turn a few near ties


def test_info_lists_versions_and_all_problems_at_once(tmp_path, capsys):
    code, found = answer(capsys, "info", "--data", SMALL)
    assert code == 0 and found["problems"] == [] and found["images"] == "8 in train"
    assert torch.__version__.startswith(found["torch"])  # without the build, such as +cpu
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for name in "abc":
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / f"{name}.png")
    Image.new("L", (8, 8), 77).save(tmp_path / "labels" / "a.png")
    Image.new("L", (4, 8), 0).save(tmp_path / "labels" / "b.png")
    code, found = answer(capsys, "info", "--data", f"folder:{tmp_path}")
    assert code == 1
    text = "\n".join(found["problems"])
    assert len(found["problems"]) == 3
    assert all(part in text for part in ("a.png", "77", "b.png", "c.png"))


def test_mistakes_get_one_line(run, tmp_path, capsys):
    assert "did you mean --steps" in refused(capsys, "train", "supervised", "--stepz", "3")
    assert "supervised" in refused(capsys, "train", "magic")
    assert "HEIGHTxWIDTH" in refused(capsys, "train", "supervised", "--size", "96")
    assert "run folder or a model.safetensors" in refused(capsys, "evaluate", str(tmp_path), "--data", SMALL)
    assert "nothere" in refused(capsys, "predict", str(run), str(tmp_path / "nothere.png"), "--out", str(tmp_path))
    assert "minicity" in refused(capsys, "evaluate", str(run), "--data", "minicty:real")
    assert "holds a run already" in refused(
        capsys, "train", "supervised", "--preset", "smoke", "--source", SMALL, "--out", str(run)
    )


def test_damaged_and_foreign_model_files_are_refused(run, tmp_path, capsys):
    whole = (run / "model.safetensors").read_bytes()
    (tmp_path / "half.safetensors").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.safetensors").write_text("not a model")
    for name in ("half", "text"):
        file = tmp_path / f"{name}.safetensors"
        assert name in refused(capsys, "evaluate", str(file), "--data", SMALL)


def test_metadata_and_half_size_copies(run, tmp_path):
    metadata = read_metadata(run)
    assert (metadata.num_classes, metadata.backbone, metadata.size) == (19, "slim", (64, 128))
    assert sum(metadata.class_frequency) == pytest.approx(1)
    halve(run, tmp_path / "half.safetensors")
    assert (tmp_path / "half.safetensors").stat().st_size < 0.55 * (run / "model.safetensors").stat().st_size
    whole, half = minida.load(run).state_dict(), minida.load(tmp_path / "half.safetensors").state_dict()
    for key in whole:
        torch.testing.assert_close(half[key], whole[key], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("verb", ["train", "evaluate", "predict", "info"])
def test_every_verb_has_help_with_an_example(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    assert f"example: minida {verb}" in capsys.readouterr().out
