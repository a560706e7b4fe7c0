import itertools
import json
import sys
import warnings

import imageio.v3
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


def test_adversarial_training_takes_its_options_and_needs_nothing_else(tmp_path, capsys):
    code, record = answer(
        capsys, "train", "adversarial", "--preset", "smoke", "--steps", "2", "--discriminator", "fcd",
        "--discriminator-width", "4", "--discriminator-optimizer", "rmsprop", "--discriminator-lr", "0.002",
        "--lambda-adv", "0.25", "--batch-norm", "separate", "--out", str(tmp_path / "run"),
    )  # fmt: skip
    assert code == 0 and (tmp_path / "run" / "discriminator.safetensors").exists()
    assert (record["source"], record["target"]) == ("minicity:game", "minicity:real")
    expected = {"discriminator": "fcd", "discriminator_width": 4, "discriminator_optimizer": "rmsprop"}
    expected |= {"discriminator_lr": 0.002, "lambda_adv": 0.25, "batch_norm": "separate"}
    assert {key: record[key] for key in expected} == expected
    line = refused(capsys, "train", "adversarial", "--discriminator", "patch", "--out", str(tmp_path / "no"))
    assert line == "minida: discriminator is 'patch'; expected fcd or dsc (or none in self-training)"
    assert not (tmp_path / "no").exists()


def test_self_training_takes_its_options(tmp_path, capsys):
    command = ["train", "dars", "--preset", "smoke", "--source", "minicity:game?n=4", "--target", "minicity:real?n=4"]
    command += ["--size", "32x64", "--steps", "1"]
    code, record = answer(
        capsys, *command, "--strategy", "st", "--ratio", "0.2,0.5", "--cap", "0.8", "--temperature", "1.5", "--flip",
        "--rounds", "2", "--strength", "1,1.5", "--student", "continue", "--out", str(tmp_path / "run"),
    )  # fmt: skip
    expected = {"strategy": "st", "ratio": [0.2, 0.5], "cap": 0.8, "temperature": 1.5, "flip": True, "rounds": 2}
    expected |= {"strength": [1, 1.5], "student": "continue", "discriminator": "none"}
    assert code == 0 and {key: record[key] for key in expected} == expected
    assert len(record["coverage"]) == 2
    code, record = answer(capsys, *command, "--ratio", "0.5", "--strength", "2", "--out", str(tmp_path / "one"))
    assert code == 0 and (record["ratio"], record["strength"]) == ([0.5, 0.5], [2, 2])
    assert (record["strategy"], record["flip"], record["rounds"]) == ("dars", False, 1)
    for wrong, line in (
        (["--ratio", "half"], "'half,half' is no range; expected LOW,HIGH, such as 0.5,2"),
        (["--ratio", "1.5"], "ratio is (1.5, 1.5); expected shares, such as 0.2,0.5"),
        (["--strategy", "darz"], "unknown strategy 'darz'; did you mean 'dars'? (or FILE.py:CLASS)"),
    ):
        assert refused(capsys, *command, *wrong, "--out", str(tmp_path / "no")).endswith(line)
    assert "rounds is 2, but supervised does not use it" in refused(capsys, "train", "supervised", "--rounds", "2")
    assert "flip is True, but adversarial does not" in refused(capsys, "train", "adversarial", "--flip")
    line = refused(capsys, "train", "adversarial", "--discriminator", "none", "--out", str(tmp_path / "no"))
    assert line == "minida: discriminator is 'none'; adversarial needs fcd or dsc" and not (tmp_path / "no").exists()


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


def test_predict_never_replaces_a_picture(run, tmp_path, capsys):
    Image.new("RGB", (70, 50)).save(tmp_path / "mine.png")
    before = (tmp_path / "mine.png").read_bytes()
    line = refused(capsys, "predict", str(run), str(tmp_path), "--out", str(tmp_path))
    assert "mine.png would be replaced" in line and (tmp_path / "mine.png").read_bytes() == before


def test_predict_is_the_network_at_its_size_and_the_decision_at_the_images(run, tmp_path):
    dataset = minida.data.open(SMALL, "val", (64, 128))
    Image.fromarray(dataset.image(0).permute(1, 2, 0).numpy()).save(tmp_path / "x.png")
    main(["predict", str(run), str(tmp_path / "x.png"), "--out", str(tmp_path / "out"), "--json"])
    written = torch.from_numpy(np.array(Image.open(tmp_path / "out" / "x.png")).astype(np.int64))
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


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried")]
)
def test_too_little_memory_is_one_line(run, capsys, monkeypatch, error):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(minida, "evaluate", fail)
    assert "choose a smaller --batch-size or --size" in refused(capsys, "evaluate", str(run), "--data", SMALL)
    monkeypatch.setattr(minida, "evaluate", lambda *_, **__: {}["defect"])
    with pytest.raises(KeyError):  # a defect of ours keeps its traceback
        main(["evaluate", str(run), "--data", SMALL])


def test_mistakes_get_one_line(run, tmp_path, capsys):
    assert "did you mean --steps" in refused(capsys, "train", "supervised", "--stepz", "3")
    assert "supervised" in refused(capsys, "train", "magic")
    for wrong in ("96", "0x10", "axb"):
        assert "HEIGHTxWIDTH" in refused(capsys, "train", "supervised", "--size", wrong)
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


def test_predict_takes_images_and_videos_together(run, tmp_path, capsys):
    frames = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), np.uint8)
    imageio.v3.imwrite(tmp_path / "drive.mp4", frames, fps=10)
    Image.fromarray(frames[0]).save(tmp_path / "street.png")
    arguments = ["predict", str(run), str(tmp_path / "street.png"), str(tmp_path / "drive.mp4"), "--out"]
    code, record = answer(capsys, *arguments, str(tmp_path / "out"))
    assert code == 0 and record["images"] == 4 and record["network_per_second"] > 0
    names = ["drive_00000", "drive_00001", "drive_00002", "street"]
    expected = sorted(name + ending for name in names for ending in (".png", "_overlay.jpg"))
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == expected
    assert main([*arguments, str(tmp_path / "again")]) == 0
    assert "4 label maps" in (text := capsys.readouterr().out) and "by the network alone" in text


def test_bench_measures_every_network_at_every_size_and_batch(run, capsys):
    arguments = ["bench", "slim", str(run), "--size", "32x64", "64x96", "--batch", "1", "2", "--repeats", "5"]
    code, found = answer(capsys, *arguments)
    cases = [(row["network"], tuple(row["size"]), row["batch"]) for row in found["records"]]
    assert code == 0 and cases == list(itertools.product(["slim", str(run)], [(32, 64), (64, 96)], [1, 2]))
    for row in found["records"]:
        assert row["ratio"] == pytest.approx(row["plain"]["ms"] / row["deployed"]["ms"])
        assert row["flops"] == next(r["flops"] for r in found["records"] if r["size"] == row["size"])
        assert (row["labels_differ"] is None) == (row["network"] == "slim")
    assert "GFLOPs: 2 x multiply-adds" in found["measured"]
    assert main([*arguments[:2], "--size", "32x64", "--repeats", "5"]) == 0
    assert "slim  32x64" in capsys.readouterr().out


def test_export_writes_a_checked_onnx_file(run, tmp_path, capsys, monkeypatch, recwarn):
    exporter = torch.onnx.export

    def noisy(*arguments, **options):
        print("many words")
        print("more words", file=sys.stderr)
        warnings.warn("and a warning", stacklevel=1)
        return exporter(*arguments, **options)

    monkeypatch.setattr(torch.onnx, "export", noisy)
    arguments = ["export", str(run), "--onnx", str(tmp_path / "x.onnx"), "--size", "32x64"]
    Image.new("RGB", (30, 20), (200, 100, 0)).save(tmp_path / "street.png")
    code, found = answer(capsys, *arguments, "--image", str(tmp_path / "street.png"))
    assert code == 0 and found["size"] == [32, 64] and found["labels"]["pixels"] == 32 * 64
    assert (tmp_path / "x.onnx").stat().st_size == found["bytes"]
    assert main(arguments) == 0
    shown = capsys.readouterr()
    assert "of 2048 labels differ" in shown.out and "onnxruntime" in shown.out
    assert not shown.err and not any("and a warning" in str(warning.message) for warning in recwarn)


def test_mistakes_in_bench_and_export_get_one_line(run, tmp_path, capsys, monkeypatch):
    assert "resnet50: no such network" in refused(capsys, "bench", "resnet18", "resnet50")
    assert "batch of 0" in refused(capsys, "bench", "slim", "--batch", "0", "--json")
    assert "nothere.png" in refused(capsys, "export", str(run), "--onnx", "x", "--image", str(tmp_path / "nothere.png"))
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    assert "pip install onnx " in refused(capsys, "export", str(run), "--onnx", str(tmp_path / "x.onnx"))
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    (tmp_path / "drive.mp4").write_text("")
    assert "imageio[ffmpeg]" in refused(
        capsys, "predict", str(run), str(tmp_path / "drive.mp4"), "--out", str(tmp_path)
    )


@pytest.mark.parametrize("verb", ["train", "evaluate", "predict", "label", "bench", "export", "info"])
def test_every_verb_has_help_with_an_example(verb, capsys):
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0
    assert f"example: minida {verb}" in capsys.readouterr().out
