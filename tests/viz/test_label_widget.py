"""The label explorer without a browser: set a control, look at the pictures and their words."""

import io
import time

import numpy as np
import pytest
import torch
from PIL import Image

from minida.data import MiniCity, SegmentationDataset, normalise
from minida.labeling import STRATEGIES, LabelingStrategy, Thresholds, confidence, make_strategy
from minida.metrics import PseudoLabelQuality
from minida.models import BiSeNet
from minida.types import IGNORE
from minida.viz.label_judge import OPTIONS, LabelJudge
from minida.viz.label_views import VIEWS, believed_map, label_view, share_bars, verdict_map
from minida.viz.label_widget import RULES, LabelExplorer

SIZE, COUNT = (48, 96), 4
PRIOR = np.arange(1, 20)[::-1] + 20.0


class Streets(SegmentationDataset):
    """MiniCity with a strip that nobody labelled, and image numbers that are not places."""

    spec, size = "streets", SIZE

    def __init__(self, size=SIZE):
        self.size, self.streets = size, MiniCity("real", "val", size, n=COUNT + 1)

    def __len__(self):
        return len(self.streets)

    def image(self, index):
        return self.streets[index][0]

    def labels(self, index):
        labels = self.streets[index][1].clone()
        labels[:5] = IGNORE
        return labels

    def image_id(self, index):
        return 100 + 3 * index


def network() -> BiSeNet:
    torch.manual_seed(0)
    model = BiSeNet(19, "slim").eval()
    with torch.no_grad():
        model.head.weight *= 1200  # an untrained one is as unsure everywhere
    return model


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture
def explorer(model):
    return LabelExplorer(model, Streets(), PRIOR, COUNT)


def shown(image) -> np.ndarray:
    with Image.open(io.BytesIO(image.value)) as picture:
        return np.asarray(picture.convert("RGB"))


def direct(model, name: str, value: float, temperature: float):
    """Labels and truth (N, H, W) with the strategy alone, all images at once."""
    streets = Streets()
    images, truth = zip(*(streets[n] for n in range(COUNT)), strict=True)
    probs = torch.cat([model.probs(normalise(image[None])) for image in images])
    strategy = make_strategy(
        name, num_classes=19, class_frequency=PRIOR, temperature=temperature, **{OPTIONS[name]: value}
    )
    strategy.observe(probs)
    strategy.fit()
    return strategy.label(probs, torch.tensor([streets.image_id(n) for n in range(COUNT)])), torch.stack(truth)


def test_every_strategy_is_there():
    assert set(RULES) == set(OPTIONS) == set(STRATEGIES)


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("value, temperature", [(0.3, 1.0), (0.55, 2.0)])
def test_labels_and_numbers_are_those_of_the_strategy(model, name, value, temperature):
    judge = LabelJudge(model, Streets(), PRIOR, COUNT)
    labels, truth = direct(model, name, value, temperature)
    assert 0 < (labels != IGNORE).float().mean() < 1
    for n in (None, *range(COUNT)):
        quality, part = PseudoLabelQuality(19), slice(None) if n is None else slice(n, n + 1)
        quality.update(labels[part], truth[part])
        assert (judge.quality((name, value, temperature), n).counts == quality.counts).all()
        if n is not None:
            assert (judge.labels((name, value, temperature), n) == labels[n]).all()


def test_words_say_what_the_strategy_answers(explorer, model):
    explorer.right.value, explorer.number.value = "cbst", 2
    explorer.sliders["temperature"].value = 1.5
    labels, truth = direct(model, "cbst", 0.2, 1.5)
    everything, here = PseudoLabelQuality(19), PseudoLabelQuality(19)
    everything.update(labels, truth)
    here.update(labels[2], truth[2])
    words = explorer.words[1].value
    parts = {"Here": here, f"All {COUNT} images": everything}
    for title, quality in parts.items():
        covered, right = quality.coverage().overall, quality.accuracy().overall
        assert f"{title}: {covered:.1%} believed, {right:.1%} of that right." in words
    true = np.bincount(truth[truth != IGNORE], minlength=19)
    given = len(set(labels.unique().tolist()) - {IGNORE})
    assert f"{given} of 19 classes, KL to the true shares {everything.kl(true):.3f}." in words
    assert "<b>CBST: " in words and 'role="status" aria-live="polite"' in words
    assert (
        "Image 2 of 0 to 3, right or wrong" in explorer.legend.value
        and VIEWS["right or wrong"] in explorer.legend.value
    )


def test_every_control_changes_what_it_should_and_nothing_else(explorer):
    left, right = {0, 2, 4}, {1, 3, 5}  # pictures, bars, words
    for control, value, changed in (
        (explorer.sliders["ratio"], 0.6, left | right), (explorer.number, 2, {0, 1, 4, 5}),
            *((explorer.view, view, {0, 1}) for view in (*VIEWS, "right or wrong")),
        (explorer.sliders["ratio"], 0.4, left | right), (explorer.sliders["temperature"], 2.0, left | right),
        (explorer.sliders["cap"], 0.7, set()), (explorer.left, "mpt", left), (explorer.sliders["cap"], 0.2, left),
        (explorer.sliders["ratio"], 0.3, right), (explorer.right, "entropy", right), (explorer.right, "da", right),
        (explorer.right, "entropy", right), (explorer.sliders["alpha0"], 0.6, right),
        (explorer.sliders["ratio"], 0.2, set()), (explorer.left, "cbst", left),
    ):  # fmt: skip
        parts = (*explorer.pictures, *explorer.bars, *explorer.words)
        before, legend = [part.value for part in parts], explorer.legend.value
        control.value = value
        assert {n for n, part in enumerate(parts) if part.value != before[n]} == changed, (control.description, value)
        if control in (explorer.number, explorer.view):
            assert explorer.legend.value != legend


@pytest.mark.parametrize("view", ["truth", "prediction"])
def test_flat_pictures_are_exact(explorer, view):
    explorer.view.value, explorer.number.value = view, 1
    judge = explorer.judge
    probs = judge.probs[1].argmax(0)
    expected = label_view(view, judge.images[1], judge.truth[1], probs, judge.labels(explorer.choice("st"), 1))
    assert all(np.array_equal(shown(picture), expected) for picture in explorer.pictures)


def test_pictures_and_bars_are_those_of_each_side(explorer):
    for side, name in enumerate(("st", "dars")):
        judge, choice = explorer.judge, explorer.choice(name)
        known = judge.images[0], judge.truth[0], judge.predictions(0), judge.labels(choice, 0)
        pairs = (
            (explorer.pictures[side], label_view("right or wrong", *known)),
            (explorer.bars[side], explorer.bars_of(choice)),
        )
        for image, expected in pairs:  # JPEG: nearly
            assert abs(shown(image).astype(int) - expected).mean() < 3
    assert explorer.bars[0].value != explorer.bars[1].value


def test_slider_and_typed_box_are_one_and_unread_dials_are_off(explorer):
    for name, row in explorer.dials.items():
        slider, box = row.children
        box.value = 0.75
        assert slider.value == explorer.sliders[name].value == 0.75
        slider.value = 0.65
        assert box.value == 0.65
    for left, right, on in (
        ("st", "dars", {"ratio"}), ("mpt", "entropy", {"cap", "alpha0"}), ("mpt", "mpt", {"cap"}),
        ("cbst", "mpt", {"ratio", "cap"}),
    ):  # fmt: skip
        explorer.left.value, explorer.right.value = left, right
        for name, row in explorer.dials.items():
            assert {part.disabled for part in row.children} == {name not in on | {"temperature"}}


class Mine(LabelingStrategy):
    """The surest `cap` of each class.

    More words.
    """

    def __init__(self, num_classes, cap=0.5, **options):
        super().__init__(num_classes, **options)
        self.cap = cap

    def rule(self, seen, progress):
        limit, _ = seen.limit(self.cap * seen.total)
        return Thresholds(confidence(limit), np.ones(self.num_classes))


class Stubborn(Mine):
    """Believes only what lies in the left half."""

    def label(self, probs, ids=None):
        assert probs.shape[1] == 19, "a strategy that looks for itself gets the probabilities"
        labels = super().label(probs, ids)
        labels[..., labels.shape[-1] // 2 :] = IGNORE
        return labels


@pytest.mark.parametrize("kind", [Mine, Stubborn])
def test_a_strategy_of_ones_own(model, kind):
    explorer = LabelExplorer(model, Streets(), PRIOR, COUNT, {"Mine": kind})
    explorer.show(left="Mine", right="cbst", cap=0.3, ratio=0.3, temperature=1.5)
    assert f"<b>Mine: {'The surest' if kind is Mine else 'Believes only'}" in explorer.words[0].value
    assert not explorer.sliders["cap"].disabled, "the option that its constructor names"
    same = explorer.judge.labels(explorer.choice("cbst"), 2).clone()
    if kind is Stubborn:
        same[:, SIZE[1] // 2 :] = IGNORE
    assert (explorer.judge.labels(explorer.choice("Mine"), 2) == same).all()
    assert (same != IGNORE).any()


def test_networks_side_by_side_with_their_labels(model):
    other = network()
    with torch.no_grad():
        other.head.weight *= -1
    explorer = LabelExplorer({"teacher": model, "student": other}, Streets(), PRIOR, COUNT)
    alone = LabelExplorer(other, Streets(), PRIOR, COUNT)
    assert "Network" in [part.description for part in explorer.children[1:2]]
    before = explorer.pictures[0].value, explorer.bars[0].value
    explorer.network.value = "student"
    assert explorer.pictures[0].value == alone.pictures[0].value != before[0]
    assert explorer.bars[0].value == alone.bars[0].value != before[1]
    assert explorer.settings()["network"] == "student" and "network" not in alone.settings()


def test_confidence_and_difference(explorer):
    explorer.show(number=1, left="st", right="entropy", view="confidence")
    judge = explorer.judge
    probs = judge.probs[1]
    for name, sure in (("st", probs.amax(0)), ("entropy", 1 - torch.special.entr(probs).sum(0) / np.log(19))):
        assert np.allclose(judge.sureness(explorer.choice(name), 1), sure, atol=1e-6)
    bright = [shown(picture).astype(int).sum(2) for picture in explorer.pictures]
    assert np.corrcoef(bright[0].flat, probs.amax(0).numpy().repeat(10, 0).repeat(10, 1).flat)[0, 1] > 0.9
    explorer.show(view="difference", left="cbst", right="st")
    left, right = (judge.labels(explorer.choice(name), 1).numpy() for name in ("cbst", "st"))
    for picture, ours, theirs in ((explorer.pictures[0], left, right), (explorer.pictures[1], right, left)):
        only = np.where((ours != IGNORE) & (theirs == IGNORE), ours, IGNORE)
        assert (only != IGNORE).any()
        expected = verdict_map(judge.images[1], only, judge.truth[1]).repeat(10, 0).repeat(10, 1)
        assert abs(shown(picture).astype(int) - expected).mean() < 3


def test_the_cursor_says_why(explorer):
    explorer.show(number=2, left="cbst", right="dars", ratio=0.4)
    plain = [picture.value for picture in explorer.pictures]
    assert all(words.value == "" for words in explorer.pixel_words)
    assert explorer.place_row.layout.display == "none"
    explorer.show(cursor=True)
    assert explorer.place_row.layout.display is None
    assert all(picture.value != old for picture, old in zip(explorer.pictures, plain, strict=True)), "a crosshair"
    names, judge, verdicts = explorer.table.names, explorer.judge, set()
    for side, name in enumerate(("cbst", "dars")):
        strategy = make_strategy(name, num_classes=19, class_frequency=PRIOR, ratio=0.4)
        strategy.observe(judge.probs)
        limit, keep = strategy.fit()
        labels, (sure, predicted) = strategy.label(judge.probs, judge.ids)[2], judge.probs[2].max(0)
        drawn = (sure >= limit[predicted]) & (labels == IGNORE)
        for row, column in [(3, 5), *drawn.nonzero()[:2].tolist(), *((r, c) for r in (6, 40) for c in range(0, 96, 7))]:
            explorer.show(row=row, column=column)
            guess, p, threshold = predicted[row, column], sure[row, column], limit[predicted[row, column]]
            if labels[row, column] != IGNORE:
                verdict = "Believed."
            else:
                verdict = "Left out by the draw" if p >= threshold else "Not believed."
            verdicts.add(verdict)
            words, true = explorer.pixel_words[side].value, judge.truth[2, row, column]
            believed = f"believed from {threshold:.4f}" if threshold < 2 else "never believed"
            assert f"Row {row}, column {column}: {names[guess]}, confidence {p:.4f}; {names[guess]} is {believed}. "\
                f"{verdict}" in words  # fmt: skip
            assert f"True: {'nobody knows' if true == IGNORE else names[true]}." in words
            assert "by the draw" not in words or f"keeps {keep[guess]:.0%}." in words
    assert verdicts == {"Believed.", "Left out by the draw", "Not believed."}
    explorer.show(left="entropy")
    entropy = torch.special.entr(judge.probs[2, :, row, column]).sum()
    assert f"entropy {entropy:.4f} nats" in explorer.pixel_words[0].value
    assert "believed below" in explorer.pixel_words[0].value


def test_shares_beside_the_prior(explorer):
    explorer.show(left="cbst", ratio=0.3)
    before = [bars.value for bars in explorer.bars]
    explorer.kind.value = "shares"
    assert all(bars.value != old for bars, old in zip(explorer.bars, before, strict=True))
    quality, prior = explorer.judge.quality(explorer.choice("cbst")), PRIOR / PRIOR.sum()
    expected = share_bars(explorer.table.names, explorer.table.palette, quality.shares(), prior)
    assert np.array_equal(explorer.bars_of(explorer.choice("cbst")), expected)
    assert f"to the prior {quality.kl(prior):.3f}." in explorer.words[0].value
    assert "labelled set" in explorer.note.value


def test_settings_are_a_line_of_code(explorer, model):
    explorer.show(number=3, left="mpt", right="entropy", view="believed", bars="shares", cap=0.4, temperature=2.0)
    assert explorer.settings() == {
        **{"number": 3, "left": "mpt", "right": "entropy", "view": "believed", "bars": "shares"},
        **{"cap": 0.4, "alpha0": 0.2, "temperature": 2.0},
    }
    explorer.show(cursor=True, row=7)
    line = explorer.code.value.split("<code>")[1].split("</code>")[0].replace("&#x27;", "'")
    other = LabelExplorer(model, Streets(), PRIOR, COUNT)
    exec(line, {"explorer": other})
    assert other.settings() == explorer.settings() and other.settings()["row"] == 7
    for attribute in ("pictures", "bars", "words", "pixel_words"):
        theirs, ours = (getattr(one, attribute) for one in (other, explorer))
        assert [part.value for part in theirs] == [part.value for part in ours], attribute
    for wrong, words in (
        ({"colour": 1}, "no control 'colour'; choose among number, network, left"),
        ({"left": "sst"}, "left cannot be 'sst'"),
        ({"number": 99}, "number cannot be 99; it goes to 3 at most"),
        ({"ratio": "much"}, "ratio cannot be 'much'"),
    ):
        with pytest.raises(ValueError, match=words):
            explorer.show(**wrong)


def test_show_draws_once(explorer, monkeypatch):
    drawn = []
    monkeypatch.setattr(explorer, "describe", lambda name, n: drawn.append(name) or "")
    explorer.show(number=1, view="truth", ratio=0.5)
    assert drawn == ["st", "dars"]


def test_the_picture_is_saved(explorer, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    explorer.show(number=1, view="believed")
    (button,) = (part for part in explorer.children[-1].children if part.description == "Save picture")
    button.click()
    with Image.open(tmp_path / "label-explorer-1.png") as picture:
        assert picture.width == 1350
    assert "Written: label-explorer-1.png" in explorer.saved.value and list(tmp_path.iterdir()).__len__() == 1
    judge = explorer.judge
    believed = believed_map(judge.images[1], judge.labels(explorer.choice("st"), 1)).repeat(10, 0).repeat(10, 1)
    assert np.array_equal(explorer.static().axes[2].images[0].get_array(), believed), "the view that is shown"


def test_a_strategy_that_believes_nothing_says_so(explorer):
    explorer.left.value = "entropy"
    explorer.sliders["alpha0"].value = 1
    assert "It believes nothing." in explorer.words[0].value and "nan" not in explorer.words[0].value
    grey = shown(explorer.pictures[0]).astype(int)
    assert np.ptp(grey, axis=2).max() < 12, "pale everywhere"
    assert "It believes nothing." in "".join(ax.get_title() for ax in explorer.static().axes)


def test_the_network_is_asked_once_and_a_change_shows_at_once(monkeypatch):
    explorer = LabelExplorer(network(), Streets((256, 512)), PRIOR)
    assert explorer.judge.count == 2, "as many as hold the pixels of 20 of 96 x 192"
    monkeypatch.setattr(BiSeNet, "forward", None)
    times = {"number": [], "ratio": []}
    for step in range(1, 4):
        for name, control, value in (("number", explorer.number, step), ("ratio", explorer.sliders["ratio"], step / 5)):
            start = time.perf_counter()
            control.value = value
            times[name].append(time.perf_counter() - start)
    assert max(map(min, times.values())) < 0.25, times  # 0.1 on an idle machine


def test_static_figure_says_the_same(explorer):
    explorer.number.value = 1
    fig = explorer.static()
    titles = [ax.get_title() or ax.get_title(loc="left") for ax in fig.axes]
    assert titles[:2] == ["image 1", "truth 1"]
    for side, name in enumerate(("st", "dars")):
        here, _, classes = explorer.describe(name, 1).split("\n")
        assert titles[2 + side] == f"{RULES[name][0]}. {here}" and titles[4 + side] == classes
        assert np.array_equal(fig.axes[2 + side].images[0].get_array(), explorer.paint("right or wrong", name, 1))
        assert np.array_equal(fig.axes[4 + side].images[0].get_array(), explorer.bars_of(explorer.choice(name)))
    assert VIEWS["right or wrong"] in fig.get_supxlabel()
    assert "run this cell" in repr(explorer) and "LabelExplorer" in repr(explorer)


def test_mistakes_are_one_clear_line(model):
    streets, unlabelled = Streets(), Streets()
    unlabelled.has_labels = False
    for given, words in (
        ((model, unlabelled, PRIOR), "streets has no labels"),
        ((BiSeNet(5, "slim"), streets, PRIOR), "5 classes but streets 19"),
        ((model, streets, PRIOR[:5]), r"prior has the shape \(5,\); expected \(19,\)"),
        ((model, streets, PRIOR, 0), "count is 0; expected 1 to 5"),
        ((model, streets, PRIOR, 6), "count is 6; expected 1 to 5"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=words) as error:
            LabelExplorer(*given)
        assert "\n" not in str(error.value)
