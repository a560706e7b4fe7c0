"""Self-training's rounds: who labels, who learns, what is kept, and that a stop at any moment changes nothing."""

import copy
import json
import os
import shutil
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import minida
from minida.data import SegmentationDataset, normalise
from minida.data.base import labeled_split
from minida.data.pseudo import PseudoLabelled
from minida.labeling import DARS, LabelingStrategy, Thresholds
from minida.methods.base import poly
from minida.storage import load_discriminator
from minida.trainer import Trainer
from minida.types import ClassTable

SHORT = {"source": "toy:source", "target": "toy:target", "size": (32, 64), "precision": "float32", "progress": False}
SHORT |= {"steps": 3, "eval_every": 100}
SSL = {"protocol": "ssl", "labeled": "1/2", "target": None}


class Toy(SegmentationDataset):
    """Eight images of coloured blocks and noise; the labels of the target's train split are a secret."""

    name, classes = "toy", (0, 1, 2, 3)

    def __init__(self, spec, split, size):
        self.spec, self.split, self.size, self.read = spec, split, size, []

    def __len__(self):
        return 8

    def blocks(self, index):
        generator = torch.Generator().manual_seed(index + 100 * len(self.spec) + 1000 * len(self.split))
        coarse = torch.randint(0, 4, (4, 8), generator=generator)
        return coarse.repeat_interleave(8, 0).repeat_interleave(8, 1), generator  # (32, 64)

    def image(self, index):
        blocks, generator = self.blocks(index)
        return (60 * blocks + torch.randint(0, 60, (3, 32, 64), generator=generator)).to(torch.uint8)

    def labels(self, index):
        assert (self.spec, self.split) != ("toy:target", "train"), "the target's labels were read"
        self.read.append(index)
        return self.blocks(index)[0]


@pytest.fixture(autouse=True)
def opened(monkeypatch):
    """Every data set is a Toy; all that were opened."""
    found = []
    monkeypatch.setattr(minida.data, "open", lambda *given: found.append(Toy(*given)) or found[-1])
    return found


@pytest.fixture
def rounds(monkeypatch):
    """What every round began with: its teacher, the model that is then trained, its batches."""
    seen, begin = [], Trainer._begin_stage

    def watch(self, stage):
        teacher, step = copy.deepcopy(self.method.model), self.step
        batches = begin(self, stage)
        student, momentum = copy.deepcopy(self.method.model), self.method.optimizers["model"].state_dict()["state"]
        begun = {"number": stage.number, "step": step, "teacher": teacher, "student": student, "batches": batches}
        seen.append(SimpleNamespace(**begun, momentum=len(momentum), trainer=self))
        return batches

    monkeypatch.setattr(Trainer, "_begin_stage", watch)
    return seen


def train(name, out, **options):
    return minida.train(name, "smoke", out=out, **{**SHORT, **options})


def same(network, other):
    """Whether two networks are equal to the last bit, running averages included."""
    pairs = zip(network.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(value, wanted) for value, wanted in pairs)


def fresh(seed=0):
    torch.manual_seed(seed)
    return minida.BiSeNet(19, "slim")


def labelled_by_hand(teacher, trainer, ratio, flip=False):
    """What DARS says of the eight target images for a ratio: the strategy, fed as nothing but the formulas asks."""
    images = normalise(torch.stack([trainer.data.target.image(i) for i in range(len(trainer.data.target))]))
    probs = teacher.probs(images)
    if flip:
        probs = (probs + teacher.probs(images.flip(3)).flip(3)) / 2
    strategy = DARS(trainer.data.source.class_frequency(), ratio, seed=trainer.config.seed)
    strategy.observe(probs)
    strategy.fit()
    ids = torch.tensor([trainer.data.target.image_id(i) for i in range(len(images))])
    return strategy.label(probs, ids).numpy().astype(np.uint8)


def check_labels(file, wanted):
    """Nearly: the run predicts in other batches, so a confidence on the threshold can be rounded to its other side."""
    labels = np.load(file)
    assert labels.shape == wanted.shape and (labels != wanted).mean() < 1e-3


@pytest.mark.parametrize("student", ["scratch", "continue"])
def test_a_teacher_and_two_students(tmp_path, rounds, student):
    grow = {"ratio": (0.2, 0.5), "strength": (1, 1.5), "rounds": 2, "flip": True}
    result = train("dars", tmp_path, student=student, **grow)
    assert [(begun.number, begun.step) for begun in rounds] == [(0, 0), (1, 3), (2, 6)]
    assert [record["step"] for record in result.history] == list(range(1, 10))
    rates = [record["lr"] for record in result.history]
    assert rates == pytest.approx([poly(8e-2, step, 3) for step in (0, 1, 2)] * 3)
    assert [record["step"] for record in result.history if "miou" in record] == [3, 6, 9], "each round is judged"
    assert ["pseudo" in record for record in result.history] == 3 * [False] + 6 * [True]
    assert [begun.batches.augmentation.strength for begun in rounds] == [1, 1, 1.5]
    assert [begun.batches.start for begun in rounds] == [0, 3, 6], "no round sees another's batches again"
    assert not any(begun.batches.augmentation.fill for begun in rounds), "no discriminator: padding gives nothing away"

    assert rounds[0].batches.target is None and same(rounds[0].student, fresh())
    coverages = []
    for begun, ratio in zip(rounds[1:], (0.2, 0.5), strict=True):
        assert not same(begun.teacher, fresh())
        assert same(begun.student, fresh() if student == "scratch" else begun.teacher)
        assert bool(begun.momentum) == (student == "continue"), "a new student has a new optimiser"
        given = begun.batches.target.dataset
        assert isinstance(given, PseudoLabelled) and given.path == tmp_path / f"pseudo-labels-{begun.number}.npy"
        by_hand = labelled_by_hand(begun.teacher, begun.trainer, ratio, flip=True)
        check_labels(given.path, by_hand)
        coverages.append((np.load(given.path) != minida.IGNORE).mean())
    stored = json.loads((tmp_path / "result.json").read_text())
    assert stored["coverage"] == pytest.approx(coverages) and min(coverages) > 0
    assert (stored["steps"], stored["ratio"], stored["strength"], stored["rounds"]) == (3, [0.2, 0.5], [1, 1.5], 2)


@pytest.mark.parametrize("student", ["scratch", "continue"])
def test_a_given_model_is_the_first_teacher(tmp_path, rounds, student):
    train("supervised", tmp_path / "teacher", seed=3)
    rounds.clear()
    result = train("dars", tmp_path / "run", init=str(tmp_path / "teacher"), rounds=2, student=student)
    teacher = minida.load(tmp_path / "teacher")
    assert [(begun.number, begun.step) for begun in rounds] == [(0, 0), (1, 3)] and len(result.history) == 6
    assert same(rounds[0].teacher, teacher)
    assert same(rounds[0].student, fresh() if student == "scratch" else teacher)
    by_hand = labelled_by_hand(teacher, rounds[0].trainer, 0.5)
    check_labels(tmp_path / "run" / "pseudo-labels-0.npy", by_hand)
    assert len(json.loads((tmp_path / "run" / "result.json").read_text())["coverage"]) == 2


def test_a_teacher_of_another_backbone_labels_in_the_first_round_alone(tmp_path, rounds):
    train("supervised", tmp_path / "teacher", backbone="resnet18", seed=3)
    rounds.clear()
    teacher = minida.load(tmp_path / "teacher")
    run = tmp_path / "run"
    train("dars", run, teacher=str(tmp_path / "teacher"), rounds=2)
    assert [(begun.number, begun.step) for begun in rounds] == [(0, 0), (1, 3)]
    assert same(rounds[0].student, fresh()), "the student is slim, and has its initial weights"
    for number, model in enumerate((teacher, rounds[1].teacher)):
        by_hand = labelled_by_hand(model, rounds[0].trainer, 0.5)
        check_labels(run / f"pseudo-labels-{number}.npy", by_hand)


def test_a_teacher_of_other_classes_is_refused(tmp_path, monkeypatch):
    with monkeypatch.context() as other:
        other.setattr(Toy, "table", ClassTable(("a", "b"), np.zeros((2, 3), np.uint8), (0, 1)))
        other.setattr(Toy, "classes", (0, 1))
        other.setattr(Toy, "labels", lambda self, index: self.blocks(index)[0] % 2)
        train("supervised", tmp_path / "teacher")
    with pytest.raises(ValueError, match="teacher has 2 classes, the data 19 others"):
        train("dars", tmp_path / "run", teacher=str(tmp_path / "teacher"))


def test_a_mix_of_images_reaches_the_batches(tmp_path, rounds):
    train("self-training", tmp_path, strategy="cbst", batch_size=4, mix=3)
    sizes = [next(iter(begun.batches)) for begun in rounds]
    assert [len(batch.source) for batch in sizes] == [4, 2] and len(sizes[1].target) == 6


@pytest.mark.parametrize("student", ["scratch", "continue"])
def test_beside_a_teacher_init_is_where_the_student_begins(tmp_path, rounds, student):
    for name, seed in (("teacher", 3), ("begun", 4)):
        train("supervised", tmp_path / name, seed=seed)
    rounds.clear()
    given = {"teacher": str(tmp_path / "teacher"), "init": str(tmp_path / "begun")}
    train("dars", tmp_path / "run", student=student, **given)
    assert [begun.number for begun in rounds] == [0] and same(rounds[0].student, minida.load(tmp_path / "begun"))
    by_hand = labelled_by_hand(minida.load(tmp_path / "teacher"), rounds[0].trainer, 0.5)
    check_labels(tmp_path / "run" / "pseudo-labels-0.npy", by_hand)


def test_a_stopped_run_needs_its_teacher_no_more(tmp_path):
    train("supervised", tmp_path / "teacher", seed=3)
    given = {"teacher": str(tmp_path / "teacher"), "centroids": 0.5}
    whole = train("dars", tmp_path / "whole", **given)
    with pytest.raises(KeyboardInterrupt):
        train("dars", tmp_path / "cut", callback=stopped_at([2]), **given)
    shutil.rmtree(tmp_path / "teacher")
    assert same(train("dars", tmp_path / "cut", resume=True, **given).model, whole.model)
    assert (tmp_path / "cut" / "regions-of-pseudo-labels-0.npy").exists(), "found once, kept beside the labels"
    with pytest.raises(ValueError, match="teacher"):
        train("dars", tmp_path / "other", **given)


def test_regions_of_old_labels_are_not_taken_for_new_ones(tmp_path):
    """A run that ended before its first checkpoint leaves labels and regions behind; the next one makes its own."""
    tmp_path.joinpath("run").mkdir()
    for name in ("pseudo-labels-1.npy", "regions-of-pseudo-labels-1.npy"):
        np.save(tmp_path / "run" / name, np.zeros((1, 5), np.int64))
    again, first = (train("dars", tmp_path / name, centroids=0.5) for name in ("run", "first"))
    assert same(again.model, first.model)


def test_the_teachers_round_is_the_method_without_pseudo_labels(tmp_path):
    """To the last bit: source-only, or with a discriminator adversarial adaptation."""
    for name, plain, options in (("dars", "supervised", {}), ("pseudo", "adversarial", {"discriminator_width": 4})):
        alone = train(plain, tmp_path / plain, **options).history
        begun = train(name, tmp_path / name, **options).history[:3]
        for ours, wanted in zip(begun, alone, strict=True):
            assert {**wanted, "seconds": 0}.items() <= {**ours, "seconds": 0}.items()


def stopped_at(steps):
    """A callback that stops the run at the next of `steps`."""
    left = list(steps)

    def stop(step, record):
        if left and step == left[0]:
            left.pop(0)
            os.kill(os.getpid(), signal.SIGTERM)

    return stop


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("dars", {"ratio": (0.2, 0.5), "strength": (1, 1.5), "flip": True, "student": "scratch"}),
        ("dars", {"student": "continue", **SSL}),
        ("pseudo", {"discriminator_width": 4, "lambda_adv": 0.5}),
    ],
)
def test_stopped_anywhere_and_resumed_is_the_undisturbed_run(tmp_path, name, options):
    """In the teacher's round, at its very end, in the first student's round, at its end, and in the second's."""
    options = {**options, "rounds": 2}
    whole, stop = train(name, tmp_path / "whole", **options), stopped_at([1, 3, 5, 6, 8])
    for step in (1, 3, 5, 6, 8):
        with pytest.raises(KeyboardInterrupt, match=f"stopped after step {step};"):
            train(name, tmp_path / "cut", resume=step > 1, callback=stop, **options)
    resumed = train(name, tmp_path / "cut", resume=True, callback=stop, **options)
    assert same(resumed.model, whole.model)
    if name == "pseudo":
        assert same(load_discriminator(tmp_path / "cut"), load_discriminator(tmp_path / "whole"))
    for ours, wanted in zip(resumed.history, whole.history, strict=True):
        assert {**ours, "seconds": 0} == {**wanted, "seconds": 0}
    for file in ("pseudo-labels-1.npy", "pseudo-labels-2.npy"):
        assert (tmp_path / "cut" / file).read_bytes() == (tmp_path / "whole" / file).read_bytes()
    again = train(name, tmp_path / "cut", resume=True, **options)  # it is finished: nothing is trained or labelled
    assert same(again.model, whole.model) and again.history == resumed.history


class Killed(BaseException):
    """What no part of the library catches."""


def test_a_killed_labelling_starts_again(tmp_path, monkeypatch):
    whole, plain = train("dars", tmp_path / "whole"), DARS.label

    def die(self, probs, ids=None):
        raise Killed

    monkeypatch.setattr(DARS, "label", die)
    with pytest.raises(Killed):
        train("dars", tmp_path / "cut")
    part = tmp_path / "cut" / ".pseudo-labels-1.npy.part"
    assert part.exists() and not (tmp_path / "cut" / "pseudo-labels-1.npy").exists()
    part.write_bytes(b"half a header")
    monkeypatch.setattr(DARS, "label", plain)
    resumed = train("dars", tmp_path / "cut", resume=True)
    assert same(resumed.model, whole.model) and not part.exists()


def test_labels_that_are_whole_are_not_made_again(tmp_path, monkeypatch):
    """Killed between the labelling and the student's first checkpoint."""
    whole = train("dars", tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train("dars", tmp_path / "cut", callback=stopped_at([3]))
    file = "pseudo-labels-1.npy"
    (tmp_path / "cut" / file).write_bytes((tmp_path / "whole" / file).read_bytes())
    monkeypatch.setattr(DARS, "observe", None)
    assert same(train("dars", tmp_path / "cut", resume=True).model, whole.model)


def test_missing_labels_are_one_line(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        train("dars", tmp_path, callback=stopped_at([4]))
    (tmp_path / "pseudo-labels-1.npy").unlink()
    with pytest.raises(ValueError) as caught:
        train("dars", tmp_path, resume=True)
    file = tmp_path / "pseudo-labels-1.npy"
    assert str(caught.value) == f"{file} is missing, and its teacher is no more; delete the run and start again"


@pytest.mark.parametrize("resume", [False, True])
def test_labels_of_a_run_without_a_checkpoint_are_not_used(tmp_path, resume):
    train("supervised", tmp_path / "teacher")
    for name in ("clean", "stale"):
        (tmp_path / name).mkdir()
    stale = tmp_path / "stale" / "pseudo-labels-0.npy"
    np.save(stale, np.zeros((8, 32, 64), np.uint8))
    options = {"init": str(tmp_path / "teacher"), "resume": resume}
    clean, run = (train("dars", tmp_path / name, **options) for name in ("clean", "stale"))
    assert stale.read_bytes() == (tmp_path / "clean" / "pseudo-labels-0.npy").read_bytes()
    assert same(clean.model, run.model)


class Mine(LabelingStrategy):
    """Believes all of class 0, 1 …, up to a limit that progress moves."""

    def rule(self, seen, progress):
        self.progress = [*getattr(self, "progress", []), progress]
        return Thresholds(torch.zeros(self.num_classes), torch.ones(self.num_classes))


def test_a_strategy_of_ones_own_as_an_instance(tmp_path):
    mine = Mine(19)
    train("self-training", tmp_path, strategy=mine, rounds=3, steps=1)
    assert mine.progress == [0, 0.5, 1]
    assert json.loads((tmp_path / "config.json").read_text())["strategy"] == "Mine"
    stored = json.loads((tmp_path / "result.json").read_text())
    assert stored["coverage"] == [1, 1, 1] and stored["strategy"] == "Mine"
    with pytest.raises(ValueError, match="was started with strategy='Mine', not 'st'"):
        train("self-training", tmp_path, resume=True, rounds=3, steps=1)


def test_a_strategy_of_ones_own_from_a_file(tmp_path):
    (tmp_path / "doubt.py").write_text(
        "import torch\n"
        "from minida.labeling import LabelingStrategy, Thresholds\n"
        "class Doubt(LabelingStrategy):\n"
        "    def rule(self, seen, progress):\n"
        "        return Thresholds(torch.full((self.num_classes,), float('inf')), torch.ones(self.num_classes))\n"
    )
    result = train("self-training", tmp_path / "run", strategy=f"{tmp_path / 'doubt.py'}:Doubt")
    assert json.loads((tmp_path / "run" / "result.json").read_text())["coverage"] == [0]
    assert [record["pseudo"] for record in result.history[3:]] == [0, 0, 0]
    assert all(np.isfinite(record["loss"]) for record in result.history)


def test_a_wrong_strategy_is_found_before_the_teacher_is_trained(tmp_path):
    for strategy, line in (
        ("darz", "unknown strategy 'darz'; did you mean 'dars'?"),
        ("no.py:A", "no.py: no such file"),
    ):
        with pytest.raises(ValueError, match=line):
            train("dars", tmp_path / "run", strategy=strategy)
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match="strategy is 'Mine', but supervised does not use it; leave it out"):
        train("supervised", tmp_path / "run", strategy=Mine(19))


@pytest.mark.parametrize("name", ["dars", "pseudo"])
def test_with_one_data_set_its_unlabelled_rest_is_labelled_and_never_read(tmp_path, opened, rounds, name):
    train(name, tmp_path, **SSL)
    data = opened[0]
    labeled, rest = labeled_split(Toy("toy:source", "train", (32, 64)), 0.5, 0)
    assert set(data.read) == set(labeled.indices) and (data.spec, data.split) == ("toy:source", "train")
    assert rounds[1].trainer.data.target.indices == rest.indices and rounds[1].trainer.config.batch_norm == "joint"
    stored = tmp_path / "pseudo-labels-1.npy"
    assert np.load(stored).shape == (4, 32, 64)
    if name == "dars":  # the random choice is each image's own, by its number in the whole set
        check_labels(stored, labelled_by_hand(rounds[1].teacher, rounds[1].trainer, 0.5))


def test_the_targets_labels_are_never_read(tmp_path, opened):
    """A Toy's target raises where its labels are asked for, so every run here is a test of it."""
    train("pseudo", tmp_path, workers=0)
    target = next(data for data in opened if (data.spec, data.split) == ("toy:target", "train"))
    with pytest.raises(AssertionError, match="were read"):
        target.labels(0)
    assert target.read == []
