import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

import minida
from minida.config import make_config
from minida.data import SegmentationDataset
from minida.methods import Supervised
from minida.methods.base import poly
from minida.runs import RunFolder
from minida.trainer import Trainer

TINY = {"source": "minicity:real?n=8", "precision": "float32", "progress": False}


class Toy(SegmentationDataset):
    """Eight images of noise whose labels are the brightness, in three classes at another size."""

    spec, name, size, classes = "toy", "toy", (32, 64), (0, 1, 2)

    def __len__(self):
        return 8

    def image(self, index):
        return torch.randint(0, 256, (3, 32, 64), dtype=torch.uint8, generator=torch.Generator().manual_seed(index))

    def labels(self, index):
        return (self.image(index)[0] // 86).long()


def weights(model):
    return torch.cat([value.flatten().double() for value in model.state_dict().values()])


def history_lines(folder):
    file = RunFolder(folder).history
    return file.read_text().splitlines() if file.exists() else []


def test_one_step_derived_by_hand():
    """SGD with momentum and weight decay on the sum of three cross-entropies, written out."""
    torch.manual_seed(0)
    config = make_config("supervised", "smoke", precision="float32")
    model = minida.BiSeNet(4, "slim")
    copy = minida.BiSeNet(4, "slim")
    copy.load_state_dict(model.state_dict())
    labels = torch.randint(0, 4, (2, 64, 96))
    labels[:, :9] = minida.IGNORE
    batch = minida.Batch(torch.randn(2, 3, 64, 96), labels)
    method = Supervised(config, model)

    momentum = {name: torch.zeros_like(p) for name, p in copy.named_parameters()}
    for _ in range(2):
        method.step(batch)
        output = copy.train()(batch.source)
        heads = (output.logits, output.aux[0], output.aux[1])
        loss = sum(F.cross_entropy(head, labels, ignore_index=255) for head in heads)
        gradients = torch.autograd.grad(loss, list(copy.parameters()), allow_unused=True)
        with torch.no_grad():
            for (name, p), gradient in zip(copy.named_parameters(), gradients, strict=True):
                momentum[name] = 0.9 * momentum[name] + gradient + 1e-4 * p
                p -= 8e-2 * momentum[name]
    torch.testing.assert_close(weights(model), weights(copy), rtol=1e-4, atol=1e-5)


def test_poly_by_hand_and_applied_every_step():
    assert poly(1.0, 0, 10) == 1.0
    assert poly(2.0, 5, 10) == pytest.approx(2 * 0.5**0.9)
    method = Supervised(make_config("supervised", "smoke", steps=10), minida.BiSeNet(3, "slim"))
    for step in (0, 5, 9, 5):  # it depends on the step alone, not on the steps before
        method.schedule(step)
        assert method.optimizer.param_groups[0]["lr"] == pytest.approx(8e-2 * (1 - step / 10) ** 0.9)


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
def test_a_run_leaves_a_whole_folder(tmp_path, optimizer):
    records = []
    result = minida.train(
        "supervised", "smoke", out=tmp_path / "run", optimizer=optimizer, lr=1e-3,
        callback=lambda step, record: records.append((step, record)), **TINY,
    )  # fmt: skip
    assert sorted(p.name for p in result.folder.iterdir() if p.name != ".lock") == [
        "checkpoint.pt", "config.json", "history.jsonl", "model.safetensors", "result.json",
    ]  # fmt: skip
    stored = json.loads((result.folder / "result.json").read_text())
    assert stored["method"] == "supervised" and stored["steps"] == 4 and stored["seed"] == 0
    assert stored["miou"] == pytest.approx(result.report.miou)
    assert set(stored["iou"]) == set(minida.CLASSES)
    lines = [json.loads(line) for line in (result.folder / "history.jsonl").read_text().splitlines()]
    assert lines == result.history == [record for _, record in records]
    assert [line["step"] for line in lines] == [1, 2, 3, 4]
    loaded = minida.load(result.folder)
    torch.testing.assert_close(weights(loaded), weights(result.model))


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_resumed_equals_uninterrupted(tmp_path, optimizer):
    options = {**TINY, "optimizer": optimizer, "steps": 6, "eval_every": 6}
    whole = minida.train("supervised", "smoke", out=tmp_path / "whole", **options)

    def stop(step, record):
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt, match="stopped after step 3"):
        minida.train("supervised", "smoke", out=tmp_path / "cut", callback=stop, **options)
    resumed = minida.train("supervised", "smoke", out=tmp_path / "cut", resume=True, **options)
    torch.testing.assert_close(weights(resumed.model), weights(whole.model), rtol=0, atol=0)
    assert [r["step"] for r in resumed.history] == [1, 2, 3, 4, 5, 6]
    assert [r["loss"] for r in resumed.history] == [r["loss"] for r in whole.history]


def test_history_after_the_checkpoint_and_a_half_line_are_cut(tmp_path):
    folder = RunFolder(tmp_path)
    for end in ('{"step": 3}\n{"st', "12\n", "{}\n", "\udcff\n"):
        text = '{"step": 1}\n{"step": 2}\n' + end
        folder.history.write_bytes(text.encode("utf-8", "surrogateescape"))
        assert folder.read_history(2) == [{"step": 1}, {"step": 2}]
    assert folder.history.read_text() == '{"step": 1}\n{"step": 2}\n'


def test_a_run_from_before_there_was_an_option_is_not_another_run(tmp_path):
    minida.train("supervised", "smoke", out=tmp_path, **TINY)
    folder = RunFolder(tmp_path)
    old = {key: value for key, value in folder.read_config().items() if key != "lambda_adv"}
    folder.config.write_text(json.dumps(old))
    minida.train("supervised", "smoke", out=tmp_path, resume=True, **TINY)
    folder.config.write_text(json.dumps({**old, "blur": 0.7}))
    with pytest.raises(ValueError, match="was started with blur=0.7, not 0.1; use one of both"):
        minida.train("supervised", "smoke", out=tmp_path, resume=True, **TINY)


@pytest.mark.slow
def test_killed_without_warning_leaves_a_valid_checkpoint(tmp_path):
    """SIGKILL in the middle of a run that saves at every step; the resumed run ends as an uninterrupted one."""
    options = "steps=30, eval_every=30, source='minicity:real?n=8', precision='float32', progress=False"
    code = (
        "import minida.trainer; minida.trainer.CHECKPOINT_SECONDS = 0\n"
        f"minida.train('supervised', 'smoke', out={str(tmp_path / 'cut')!r}, {options})"
    )
    process = subprocess.Popen([sys.executable, "-c", code])
    try:
        deadline = time.time() + 120
        while len(history_lines(tmp_path / "cut")) < 5 and time.time() < deadline:
            time.sleep(0.01)
    finally:
        process.kill()
        process.wait()
    before = RunFolder(tmp_path / "cut").load_checkpoint()["step"]
    assert 1 <= before < 30
    kept = {"steps": 30, "eval_every": 30, **TINY}
    resumed = minida.train("supervised", "smoke", out=tmp_path / "cut", resume=True, **kept)
    whole = minida.train("supervised", "smoke", out=tmp_path / "whole", **kept)
    torch.testing.assert_close(weights(resumed.model), weights(whole.model), rtol=0, atol=0)


def test_resuming_a_finished_run_changes_nothing(tmp_path):
    first = minida.train("supervised", "smoke", out=tmp_path, **TINY)
    again = minida.train("supervised", "smoke", out=tmp_path, resume=True, **TINY)
    torch.testing.assert_close(weights(again.model), weights(first.model), rtol=0, atol=0)
    assert again.report.miou == pytest.approx(first.report.miou)
    assert again.history == first.history


def test_a_loss_that_is_no_number_names_step_and_term(tmp_path, monkeypatch):
    plain = Supervised.step

    def break_at_three(self, batch):
        losses = plain(self, batch)
        self.calls = getattr(self, "calls", 0) + 1
        return {**losses, "adv": losses["loss"] / (0.0 if self.calls == 3 else 1.0) * (self.calls != 3)}

    monkeypatch.setattr(Supervised, "step", break_at_three)
    with pytest.raises(FloatingPointError, match=r"'adv'.*step 3"):
        minida.train("supervised", "smoke", out=tmp_path, log_every=4, **TINY)
    assert not (tmp_path / "checkpoint.pt").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"stepz": 3}, "did you mean 'steps'"),
        ({"optimizer": "lion"}, "sgd, adam, rmsprop"),
        ({"batch_size": 1}, "2 or more"),
        ({"labeled": "9/8"}, r"\(0, 1\]"),
        ({"labeled": "many"}, "1/8"),
        ({"protocol": "ssl"}, "1/8"),
        ({"device": "warp"}, "cpu, cuda or auto"),
        ({"size": (16, 16)}, "at least 32"),
    ],
)
def test_mistakes_in_the_configuration(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        minida.train("supervised", "smoke", out=tmp_path / "run", **{**TINY, **change})
    assert not (tmp_path / "run").exists()


def test_unknown_method_and_preset():
    with pytest.raises(ValueError, match="supervised"):
        minida.train("magic")
    with pytest.raises(ValueError, match="did you mean 'smoke'"):
        minida.train("supervised", "smok")


def test_a_folder_of_before_an_option_was_there_has_its_default(tmp_path):
    minida.train("supervised", "smoke", out=tmp_path, **TINY)
    stored = json.loads((tmp_path / "config.json").read_text())
    del stored["crops"], stored["centroids"]
    (tmp_path / "config.json").write_text(json.dumps(stored))
    with pytest.raises(ValueError, match="was started with crops='baseline', not 'coarse2fine'"):
        minida.train("supervised", "smoke", out=tmp_path, resume=True, crops="coarse2fine", **TINY)
    minida.train("supervised", "smoke", out=tmp_path, resume=True, **TINY)


def test_a_folder_is_never_overwritten_nor_resumed_differently(tmp_path):
    minida.train("supervised", "smoke", out=tmp_path, **TINY)
    before = (tmp_path / "result.json").read_bytes()
    with pytest.raises(ValueError, match="holds a run already"):
        minida.train("supervised", "smoke", out=tmp_path, **TINY)
    with pytest.raises(ValueError, match="seed=0, not 1"):
        minida.train("supervised", "smoke", out=tmp_path, resume=True, seed=1, **TINY)
    assert (tmp_path / "result.json").read_bytes() == before


def test_semi_supervised_trains_on_the_labelled_share_only():
    config = make_config("supervised", "smoke", source="minicity:real?n=8", protocol="ssl", labeled="1/4")
    trainer = Trainer(config, RunFolder("unused"), progress=False)
    assert len(trainer.data.source) == 2 and len(trainer.data.target) == 6
    assert not set(trainer.data.source.indices) & set(trainer.data.target.indices)


def test_a_path_without_its_kind_is_refused_also_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="unknown kind of data set '/data/cityscapes'"):
        minida.train("supervised", "smoke", source="/data/cityscapes", progress=False)
    result = minida.train("supervised", "smoke", **{**TINY, "source": "minicity:real?n=8&gap=0.5"})
    assert result.folder.parent.name == "runs" and result.folder.name.startswith("supervised-real-")


def test_data_without_labels_is_refused_before_any_work(tmp_path):
    (tmp_path / "images").mkdir()
    for name in "abcd":
        Image.new("RGB", (64, 32)).save(tmp_path / "images" / f"{name}.png")
    spec = f"folder:{tmp_path}"
    for change, role in (({"source": spec}, "train"), ({"target": spec}, "evaluate")):
        with pytest.raises(ValueError, match=f"has no labels of split '(train|val)' to {role} on; name another"):
            minida.train("supervised", "smoke", out=tmp_path / "run", **{**TINY, **change})
    assert not (tmp_path / "run").exists()


def test_an_interrupt_while_data_are_prepared_ends_at_once(tmp_path, monkeypatch):
    def slow(self, labels=True):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.1)
        raise AssertionError("went on")

    monkeypatch.setattr(minida.data.MiniCity, "prepare", slow)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a script starts behind itself
    try:
        with pytest.raises(KeyboardInterrupt):
            minida.train("supervised", "smoke", out=tmp_path / "run", **TINY)
    finally:
        signal.signal(signal.SIGINT, before)


def test_evaluation_counts_at_the_labels_own_size_over_the_sets_classes():
    class Large(Toy):
        def labels(self, index):
            labels = super().labels(index).repeat_interleave(2, 0).repeat_interleave(2, 1)
            labels[1::2] = 2  # rows that the image's size does not have, with other shares of the classes
            return labels

    model = minida.BiSeNet(19, "slim").train()
    with torch.no_grad():
        model.head.bias[3:] = -100.0  # predict the set's classes, or both sides below would be 0
    report = minida.evaluate(model, Large(), batch_size=3, precision="float32")
    assert model.training and report.images == 8
    assert set(report.iou) == {"road", "sidewalk", "building"}

    hits = torch.zeros(3, 3 + 17)
    dataset = Large()
    for index in range(8):
        image = minida.data.normalise(dataset.image(index)[None])
        logits = F.interpolate(model.eval()(image).logits, scale_factor=2, mode="bilinear", align_corners=False)
        for truth, guess in zip(dataset.labels(index).flatten(), logits.argmax(1).flatten(), strict=True):
            hits[truth, guess] += 1
    iou = [hits[c, c] / (hits[c].sum() + hits[:, c].sum() - hits[c, c]) for c in range(3)]
    assert report.miou > 0.05
    assert report.miou == pytest.approx(torch.stack(iou).mean().item(), abs=2e-3)


def test_evaluation_refuses_what_it_cannot_score():
    with pytest.raises(ValueError, match="5 classes"):
        minida.evaluate(minida.BiSeNet(5, "slim"), Toy())
    toy = Toy()
    toy.has_labels = False
    with pytest.raises(ValueError, match="no labels"):
        minida.evaluate(minida.BiSeNet(19, "slim"), toy)


def test_equal_seeds_give_equal_runs_and_leave_the_global_generator_alone(tmp_path):
    state = torch.random.get_rng_state()
    a = minida.train("supervised", "smoke", out=tmp_path / "a", **TINY)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.rand(7)
    b = minida.train("supervised", "smoke", out=tmp_path / "b", **TINY)
    c = minida.train("supervised", "smoke", out=tmp_path / "c", seed=1, **TINY)
    assert torch.equal(weights(a.model), weights(b.model))
    assert not torch.equal(weights(a.model), weights(c.model))


def test_the_record_says_how_long_it_waited_for_data(tmp_path, monkeypatch):
    """Of six steps each batch comes 0.2 s late; a stop in between loses none of that time."""
    batches = minida.trainer.TrainingBatches.__iter__

    def late(self):
        for batch in batches(self):
            time.sleep(0.2)
            yield batch

    def stop(step, record):
        if step == 4:
            raise RuntimeError("pulled the plug")

    monkeypatch.setattr(minida.trainer.TrainingBatches, "__iter__", late)
    monkeypatch.setattr(minida.trainer, "CHECKPOINT_SECONDS", 0)
    options = {**TINY, "steps": 6, "eval_every": 6}
    with pytest.raises(RuntimeError, match="pulled the plug"):
        minida.train("supervised", "smoke", out=tmp_path, callback=stop, **options)
    minida.train("supervised", "smoke", out=tmp_path, resume=True, **options)
    record = json.loads((tmp_path / "result.json").read_text())
    assert record["waiting"] * record["seconds"] + 0.1 >= 1.2 and record["waiting"] < 1
