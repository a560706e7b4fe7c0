"""The bank explorer: its queues are those of lists, its controls reach the pictures, its cells have forms."""

import io
import time
from collections import deque
from html import unescape

import numpy as np
import pytest
import torch
from PIL import Image
from test_partition_widget import SIZE, Streets

import minida
from minida.data import normalise
from minida.labeling import EntropyPartition
from minida.labeling.base import uniform
from minida.types import CITYSCAPES, IGNORE
from minida.viz.bank_widget import EMPTY, BankExplorer, cosine_view, ring_view, short_names
from minida.viz.label_views import RIGHT, STRIPE, WRONG
from minida.viz.views import VOID

LENGTH, STEPS, NEVER = 24, 5, 4  # class 4 has no pixel
INK = (34, 34, 34)


class Streets10(Streets):
    """The images that play labelled ones, those with even numbers, are darker: γ is not theirs."""

    def image(self, index):
        return super().image(index) // (1 if index % 2 else 4)

    def __len__(self) -> int:
        return 2 * STEPS


def network(embedding=8):
    torch.manual_seed(1)
    model = minida.BiSeNet(5, "slim", embedding=embedding)
    with torch.no_grad():
        for _ in range(8):  # running averages of something, and opinions
            model.train()(normalise(torch.randint(0, 256, (2, 3, *SIZE), dtype=torch.uint8)))
        model.head.weight.mul_(8)
    return model


@pytest.fixture(scope="module")
def model():
    return network()


@pytest.fixture
def explorer(model):
    return BankExplorer(model, Streets10(), LENGTH, 24)


def pictures(explorer):
    return [part.value for part in (explorer.ring, explorer.cosines, explorer.bars)]


def read(explorer, model):
    """Of every image: the rows and columns that the features stand for, read one by one."""
    data, model = Streets10(), model.eval()
    partition, pixels = EntropyPartition(5), []
    for n in range(2 * STEPS):
        with torch.no_grad():
            output = model(normalise(data.image(n)[None]))
        probs = output.logits.softmax(1)
        if n % 2:
            partition.observe(probs[:, :, 4::9, 4::9])
        pixels.append([
            (probs[0, :, 8 * y + 4, 8 * x + 4], output.embedding[0, :, y, x], int(data.labels(n)[8 * y + 4, 8 * x + 4]))
            for y in range(SIZE[0] // 8) for x in range(SIZE[1] // 8)
        ])  # fmt: skip
    return pixels, partition.fit().score[0].item()


def by_hand(explorer, model):
    """A list of what entered each class's queue, for each step: (true class, labelled, key); and each one's anchors."""
    pixels, gamma = read(explorer, model)
    entered, anchors = [], [[] for _ in range(5)]
    for step in range(STEPS):
        new = [[] for _ in range(5)]
        chance = uniform(0, torch.tensor([2 * step, 2 * step + 1]), torch.zeros(2, SIZE[0] // 8, SIZE[1] // 8))
        batch = [(*pixel, labelled) for labelled, n in ((1, 2 * step), (0, 2 * step + 1)) for pixel in pixels[n]]
        for place in np.argsort(chance.flatten().numpy(), kind="stable"):
            probs, embedding, truth, labelled = batch[place]
            ranks = [int((probs > probs[c]).sum()) for c in range(5)]
            reliable = float(-(probs * probs.log()).sum()) < gamma
            label = truth if labelled else (int(probs.argmax()) if reliable else IGNORE)
            for c in range(5):
                if labelled:
                    negative = truth not in (c, IGNORE) and ranks[c] < 3
                else:
                    negative = not reliable and 3 <= ranks[c] < 20
                if negative and len(new[c]) < LENGTH // 2:
                    new[c].append((truth, labelled, embedding / embedding.norm()))
                if label == c and probs[c] > 0.3:
                    anchors[c].append(embedding)
        entered.append(new)
    return entered, anchors


def test_the_queues_are_those_of_lists(explorer, model):
    entered, anchors = by_hand(explorer, model)
    queues = [deque(maxlen=LENGTH) for _ in range(5)]
    assert explorer.steps == STEPS
    gone = wrong = unknown = 0
    for step in range(STEPS + 1):
        explorer.step.value = step
        for c in range(5):
            explorer.kind.value = c
            new = entered[step - 1][c] if step else []
            queues[c].extend(new)
            written = sum(len(entered[n][c]) for n in range(step))
            held = len(queues[c])
            cells = explorer.cells()[c]
            assert (cells[held:, 0] == EMPTY).all() and not cells[held:, 2].any()
            order = [(written - held + n) % LENGTH for n in range(held)]  # from the oldest
            assert cells[order].tolist() == [
                [truth, labelled, int(n >= held - len(new))] for n, (truth, labelled, _) in enumerate(queues[c])
            ]
            own = sum(truth == c for truth, _, _ in queues[c])
            share = explorer.wrong()[c]
            assert share == pytest.approx(own / held) if held else np.isnan(share)
            words = explorer.describe()
            name = explorer.table.names[c]
            assert f"Step {step} of {STEPS}: {written} keys were written into {name}'s queue, {len(new)} of" in words
            assert f"It holds {held} of {LENGTH}" in words
            assert ("oldest" in words) == (written > LENGTH)
            assert (f"\n{own} ({own / max(held, 1):.1%}) truly are {name}: wrong" in words) == bool(held)
            if anchors[c]:
                centre = torch.stack(anchors[c]).mean(0)
                cosines = [float(torch.cosine_similarity(anchor, centre, 0)) for anchor in anchors[c]]
                assert np.sort(explorer.anchors[c]) == pytest.approx(np.sort(cosines), abs=1e-4)
                near = [float(torch.cosine_similarity(key, centre, 0)) for _, _, key in queues[c]]
                assert np.sort(explorer.near()) == pytest.approx(np.sort(near), abs=2e-3)  # keys are float16
                assert f"{name}'s {len(cosines)} anchors with their mean is {np.mean(cosines):.2f}" in words
            else:
                assert not len(explorer.near()) and f"No pixel is an anchor of {name}" in words
            gone, wrong = gone + (written > LENGTH), wrong + own
            unknown += sum(truth == IGNORE for truth, _, _ in queues[c])
    assert gone and wrong and unknown and any(anchors) and not all(anchors)  # all that is to be seen has been


def test_every_control_reaches_a_picture_and_the_words(explorer):
    for control, value in ((explorer.step, 1), (explorer.kind, 2), (explorer.step, 0)):
        before, said = pictures(explorer), explorer.words.value
        control.value = value
        assert pictures(explorer) != before and explorer.words.value != said, control.description
    assert "Step 0 of 5: 0 keys were written into person's queue" in unescape(explorer.words.value)
    assert "wrong negatives" not in explorer.words.value  # of nothing
    explorer.children[0].children[1].value = 4  # the typed box
    assert explorer.children[0].children[1].description == "Step ="
    assert explorer.step.value == 4 and "Step 4 of 5" in explorer.words.value
    explorer.children[0].children[1].value = 99
    assert explorer.step.value == STEPS


def test_the_words_name_the_three_classes_that_most_keys_are_of(explorer):
    explorer.step.value, explorer.kind.value = 3, 0
    truth, labelled, _ = explorer.cells()[0].T
    known = truth[(truth != EMPTY) & (truth != IGNORE)].tolist()
    best = sorted(set(known), key=lambda c: (-known.count(c), c))[:3]
    held = (truth != EMPTY).sum()
    wanted = ", ".join(f"{explorer.table.names[c]} {known.count(c) / held:.0%}" for c in best)
    share = labelled[truth != EMPTY].mean()
    assert f"\n{share:.0%} are of labelled pixels. Most truly are: {wanted}.\n" in explorer.describe()
    shares = explorer.wrong()
    most = int(np.nanargmax(shares))
    assert f"in {explorer.table.names[most]}'s queue: {shares[most]:.1%}." in explorer.describe()
    explorer.banks[3].keys[:, -2] = 3
    assert "Most truly are: tree 100%.\n" in explorer.describe()  # and no class that has none


def test_the_cells_have_forms():
    palette, codes = np.array([[0, 90, 0], [0, 0, 200]]), ["gr", "bl"]
    cells = np.array([[0, 0, 0], [0, 1, 0], [1, 0, 1], [EMPTY, 0, 0], [IGNORE, 0, 0]])
    picture = ring_view(cells, 1, palette, codes)
    assert picture.shape == (48, 960, 3)
    square, circle, wrong, empty, unknown = (picture[:, 48 * n : 48 * n + 48] for n in range(5))
    assert tuple(square[6, 6]) == tuple(circle[20, 6]) == (0, 90, 0)
    assert tuple(circle[3, 3]) == (255, 255, 255)
    assert {(213, 94, 0), (90, 30, 0)} <= set(map(tuple, wrong.reshape(-1, 3)))
    assert tuple(wrong[20, 23]) == STRIPE and tuple(wrong[6, 20]) == WRONG  # a cross
    assert [bool((part[40:45] == INK).all(2).any()) for part in (square, wrong)] == [False, True]
    assert tuple(empty[6, 6]) == (243, 243, 243) and (empty == 176).all(2).any()
    assert tuple(unknown[6, 6]) == VOID
    for part in (square, circle, unknown):
        assert (part[12:28, 10:36] == 255).all(2).any(), "white letters on a dark ground"
    assert ring_view(np.repeat(cells[:1], 600, 0), 1, palette, codes).shape[1] == 960


def test_the_histograms_point_both_ways():
    picture = cosine_view(np.array([0.9, 0.9]), np.array([-0.7]))
    rows, columns = np.nonzero((picture == RIGHT).all(2))
    assert rows.max() <= 138 and columns.min() > 860  # -1 is at 20 pixels, 1 at 940
    bar = picture[150:260, 165]  # at -0.7, right of the words
    assert {107, 255} == set(bar.flatten().tolist()), "stripes"
    assert (picture[:130, 140:860] == 255).all() and (picture[150:270, 190:] == 255).all()
    without = cosine_view(np.empty(0), np.empty(0))
    assert not (without == RIGHT).all(2).any() and (without[50:90, 300:660] < 100).any(), "no anchors, in words"


def test_short_names_differ():
    codes = short_names(CITYSCAPES.names)
    assert len(set(codes)) == 19 and codes[:3] == ["ro", "si", "bu"] and codes[15:17] == ["bs", "ta"]
    assert dict(zip(CITYSCAPES.names, codes, strict=True))["traffic sign"] == "ts"
    assert short_names(["a", "ab", "a", "ab"]) == ["a1", "ab", "a2", "a3"]


def test_what_it_refuses(model):
    with pytest.raises(ValueError, match="streets has no labels to judge the keys by"):
        BankExplorer(model, Streets(labelled=False))
    with pytest.raises(ValueError, match="the model has 3 classes but streets 5"):
        BankExplorer(minida.BiSeNet(3, "slim", embedding=8), Streets())
    with pytest.raises(ValueError, match="the model has no embedding to make keys of"):
        BankExplorer(network(None), Streets())
    for length in (1, 601):
        with pytest.raises(ValueError, match=f"length is {length}, and there are 2 images; expected a length from 2"):
            BankExplorer(model, Streets(), length)
    with pytest.raises(ValueError, match="there are 0 images; expected .* two images or more"):
        BankExplorer(model, Streets(), count=1)


def test_the_model_stays_as_it_was(model):
    model.train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    BankExplorer(model, Streets(), 10)
    assert model.training and all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_the_static_figure_and_the_widget_show_the_same(explorer):
    explorer.step.value, explorer.kind.value = 2, 1
    fig = explorer.static()
    titles = [ax.get_title() or ax.get_title(loc="left") for ax in fig.axes]
    assert titles == ["car's queue after step 2", "cosine with the positive", "all queues"]
    for widget, picture in zip((explorer.ring, explorer.cosines, explorer.bars), explorer.paint(), strict=True):
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(widget.value)).convert("RGB")), picture)
    assert "run this cell" in repr(explorer)


def test_a_change_is_quick():
    model = minida.BiSeNet(19, "slim", embedding=64).eval()
    explorer = BankExplorer(model, minida.data.MiniCity("real", n=4, size=(96, 192)))
    begun = time.perf_counter()
    for value in (0, 1, 2, 1, 0):
        explorer.step.value = value
    assert time.perf_counter() - begun < 5 * 0.5, (
        "100 ms are wanted; this only catches what is far off on a busy machine"
    )
