"""The feedback explorer: its numbers are those of a loop, its words follow, its diary changes no training."""

import io
import time

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

import minida
from minida.data import MiniCity
from minida.types import IGNORE
from minida.viz import style
from minida.viz.feedback_widget import Board, Diary, FeedbackExplorer, Story

H = (0.004, 0.006, 0.001, -0.002, 0.0038, 0.005, -0.008, 0.002)


def losses(step):
    return {"segmentation": 1.5 - 0.05 * step, "pseudo": 0.4 + 0.02 * step, "lr": 0.02 * (1 - (step - 1) / len(H))}


def centred(values, decay=0.99):
    """h less the moving average before it, as Meta Pseudo Labels records it."""
    average, answers = values[0], []
    for h in values:
        answers.append(h - average)
        average = decay * average + (1 - decay) * h
    return answers


META = [{"step": n, "h": h, "feedback": f, **losses(n)} for n, (h, f) in enumerate(zip(H, centred(H), strict=True), 1)]
PRODUCT = [{"step": n, **losses(n)} for n in range(1, 9)]
for record in PRODUCT:
    record["feedback"] = (record["step"] - 1) / 8 * record["lr"] * record["segmentation"] * record["pseudo"]


class Unlabelled(MiniCity):
    has_labels = False


def filled(every=2, count=3):
    """A diary of two networks that were never trained, the student another one on every page."""
    diary = Diary(MiniCity("real", "val", (32, 64), n=4), count, every)
    torch.manual_seed(0)
    teacher = minida.BiSeNet(19, "slim").eval()
    for step in range(0, 9, every):
        diary.write(step, {"teacher": teacher, "model": minida.BiSeNet(19, "slim").eval()})
    return diary


@pytest.fixture(scope="module")
def diaries():
    return {"meta": filled(), "product": filled(4)}


@pytest.fixture
def explorer(diaries):
    return FeedbackExplorer({"meta": META, "product": PRODUCT}, diaries)


def pictures(explorer):
    return [image.value for image in (explorer.chart, *explorer.players)]


# ---- the numbers


def test_the_baseline_is_that_of_a_loop():
    story, average = Story.of("meta", META), H[0]
    assert not story.product and list(story.rows) == ["h", "usual, b", "h − b"]
    for index, h in enumerate(H):
        assert story.rows["usual, b"][index] == pytest.approx(average)
        assert story.told[index] == pytest.approx(h - average)
        average = 0.99 * average + 0.01 * h
    assert story.top == pytest.approx(max(abs(v) for v in (*H, *centred(H))))


def test_the_product_is_that_of_a_loop_and_never_negative():
    story = Story.of("product", PRODUCT)
    assert story.product and list(story.rows) == ["H", "α H"]
    for index, record in enumerate(PRODUCT):
        product = record["lr"] * record["segmentation"] * record["pseudo"]
        assert story.rows["H"][index] == pytest.approx(product)
        assert story.told[index] == pytest.approx(index / 8 * product) and story.told[index] >= 0


def test_who_is_right_is_counted_as_in_a_loop(diaries):
    diary = diaries["meta"]
    page, n = diary.pages[4], 1
    counts = dict.fromkeys(("known", "teacher", "student", "differ", "teacher there", "student there"), 0)
    for y, x in np.ndindex(32, 64):
        truth, teacher, student = (int(part[n, y, x]) for part in (diary.truth, page["teacher"], page["student"]))
        if truth != IGNORE:
            counts["known"] += 1
            counts["teacher"] += teacher == truth
            counts["student"] += student == truth
            counts["differ"] += teacher != student
            counts["teacher there"] += teacher == truth != student
            counts["student there"] += student == truth != teacher
    known, differ = counts["known"], counts["differ"]
    assert diary.describe(5, n) == (
        f"Image 1 after step 4: teacher {counts['teacher'] / known:.1%} right, student {counts['student'] / known:.1%}"
        f". Where they differ ({differ / known:.1%} of the pixels): teacher {counts['teacher there'] / differ:.0%}, "
        f"student {counts['student there'] / differ:.0%}."
    )
    steps, shares = diary.right("teacher")
    known = diary.truth != IGNORE
    assert steps == [0, 2, 4, 6, 8]
    assert shares[2] == pytest.approx(100 * (page["teacher"] == diary.truth)[known].mean())


def test_where_they_differ_shows_who_is_right(diaries):
    diary = diaries["meta"]
    zoom, page = round(480 / 64), diary.pages[4]
    teacher, student, verdict = diary.pictures(4, 0)
    assert teacher.shape == student.shape == verdict.shape == (32 * zoom, 64 * zoom, 3)
    truth, said, other = diary.truth[0], page["teacher"][0], page["student"][0]
    shown = verdict[::zoom, ::zoom].astype(int)
    is_blue = (shown[..., 2] > shown[..., 0] + 40) & (shown[..., 2] > 60)
    dark = shown.sum(-1) == 3 * 24
    differ = (said != other) & (truth != IGNORE)
    assert (is_blue == (differ & (other == truth))).all()
    assert (dark == (differ & (other != truth) & (said != truth))).all() and dark.any()
    same = diary.pictures(4, 0)[2][np.kron(said == other, np.ones((zoom, zoom), bool))]
    assert (same.max(-1) == same.min(-1)).all(), "equal predictions stay a pale grey image"


# ---- words


def test_the_words_of_a_gradient():
    story = Story.of("meta", META)
    assert story.verdict(0) == "is told nothing yet"
    assert story.describe(1).startswith("step 2 of 8: h = +0.0060 for the step on the pseudo-labels: it helped.\n")
    assert "b = +0.0040. h − b = +0.0020: more than usual, so the teacher is drawn towards its labels.\n" in (
        story.describe(1)
    )
    assert "h = +0.0010" in story.describe(2) and "it helped" in story.describe(2)
    assert "less than usual, so the teacher is pushed away from its labels" in story.describe(2), "helped, but little"
    assert "h = −0.0020" in story.describe(3) and "it did harm" in story.describe(3)
    assert "1.40 on labels and 0.44 on pseudo-labels" in story.describe(1)


def test_the_words_of_the_product_say_that_it_is_never_negative():
    story = Story.of("product", PRODUCT)
    assert "α = 0.00, α H = 0: the teacher is told nothing yet." in story.describe(0)
    for index in range(1, 8):
        words = story.describe(index)
        assert "never negative" in words and "drawn towards its labels" in words and "usual" not in words
        assert f"α = {index / 8:.2f}, α H = +" in words


def test_small_and_large_numbers_keep_three_digits():
    tiny = Story.of(
        "a", [{**record, "h": 1e-4 * record["h"], "feedback": 1e-4 * record["feedback"]} for record in META]
    )
    assert tiny.signed(6e-7) == "+0.00000060" and tiny.signed(-1e-12) == "0"


# ---- controls


def test_every_control_reaches_the_pictures_and_the_words(explorer):
    assert explorer.step.value == 7, "it opens where the teacher is told most"
    for control, value in ((explorer.step, 2), (explorer.number, 2), (explorer.run, "product"), (explorer.step, 5)):
        before, said = pictures(explorer), explorer.words.value
        control.value = value
        assert pictures(explorer) != before and explorer.words.value != said, control.description
    assert [row.children[1].description for row in (explorer.children[0], explorer.children[2])] == [
        "Step =",
        "Image =",
    ]
    explorer.children[0].children[1].value = 8  # the typed box
    assert explorer.step.value == 8 and "product, step 8 of 8" in explorer.words.value
    assert 'role="status" aria-live="polite"' in explorer.words.value


def test_the_players_are_those_of_the_last_page(explorer):
    explorer.step.value = 3
    assert "Image 0 after step 2:" in explorer.words.value
    explorer.run.value = "product"  # a page every four steps
    assert "Image 0 before the training:" in explorer.words.value
    explorer.step.value = 4
    assert "Image 0 after step 4:" in explorer.words.value


def test_a_step_that_was_not_logged_shows_the_nearest():
    explorer = FeedbackExplorer({"a": META[1::2], "b": PRODUCT})
    explorer.step.value = 5
    assert "a, step 4 of 8" in explorer.words.value or "a, step 6 of 8" in explorer.words.value
    explorer.run.value = "b"
    assert "b, step 5 of 8" in explorer.words.value
    assert len(explorer.children) == 4, "no images to choose from, and no row for them"
    assert len(explorer.children[-1].children) == 1


def test_a_board_drawn_twice_forgets_the_step_before(explorer):
    board = explorer.boards["meta"]
    first = board.picture(2)
    count = len(board.canvas.figure.findobj())
    assert (board.picture(6) != first).any() and (board.picture(2) == first).all()
    assert len(board.canvas.figure.findobj()) == count, "nothing is left in the figure"


def test_the_mark_stands_at_the_step(explorer):
    board = explorer.boards["meta"]
    axes, unmarked = board.axes[0], board.picture(3).astype(int)

    def changed(shown, index):
        """Whether the picture is another one around a step's place in the curve."""
        x, y = axes.transData.transform((META[index]["step"], META[index]["h"])).round().astype(int)
        rows = slice(len(shown) - y - 15, len(shown) - y + 15)
        return (shown != unmarked)[rows, x - 15 : x + 15].any()

    for index in (1, 6):
        shown = board.picture(index).astype(int)
        assert changed(shown, index) and changed(shown, 3) and not changed(shown, 4)


def test_a_change_is_quick(explorer):
    begun = time.perf_counter()
    for value in (1, 2, 3, 4, 5):
        explorer.step.value = value
    assert time.perf_counter() - begun < 5 * 0.5, (
        "100 ms are wanted; this only catches what is far off on a busy machine"
    )


# ---- the figure


def drawn_words(fig):
    return [text.get_text() for ax in fig.axes for text in ax.texts] + [
        title for ax in fig.axes for title in (ax.get_title(loc="left"),) if title
    ]


def test_the_static_figure_says_the_same(explorer):
    explorer.step.value = 4
    fig = explorer.static()
    fig.canvas.draw()
    words = drawn_words(fig)
    assert "teacher, step 4: pushed away from its labels" in words and "−0.0020" in words
    assert [ax.get_title(loc="left") for ax in fig.axes[3:]] == [
        "teacher, after step 4", "student, after step 4", "where they differ, after step 4",
    ]  # fmt: skip
    shown = np.asarray(Image.open(io.BytesIO(explorer.players[2].value)).convert("RGB"))
    assert (fig.axes[5].images[0].get_array() == shown).all()
    explorer.run.value = "product"
    assert "never\nnegative" in drawn_words(explorer.static())
    assert "run this cell" in repr(explorer)


@pytest.mark.parametrize("with_players", [False, True])
def test_the_courses_style_moves_nothing(explorer, with_players):
    """use_style turns on a layout that would push the panels about."""
    shown = explorer if with_players else FeedbackExplorer({"meta": META})

    def places():
        fig = shown.static()
        FigureCanvasAgg(fig).draw()
        board = Board(shown.stories["meta"], shown.diaries.get("meta"))
        return [ax.get_position().bounds for ax in (*fig.axes, *board.axes)]

    with mpl.rc_context():
        plain = places()
        style.use_style()
        assert np.allclose(places(), plain)


def test_the_sign_has_a_shape():
    axes = FeedbackExplorer({"meta": META}).static().axes[0]
    story, found = Story.of("meta", META), {}
    for line in axes.lines:
        if line.get_marker() in "^v" and line.get_markersize() < 10:
            found[line.get_marker()] = line.get_xdata().tolist()
    assert found == {"^": story.steps[story.told > 0].tolist(), "v": story.steps[story.told < 0].tolist()}
    assert found["^"] == [2, 6] and 3 in found["v"], "below the usual is away, though it helped"


def test_no_word_leaves_the_picture(explorer):
    explorer.boards["losses"] = Board(Story.of("losses", META), None)
    alike = Story.of("alike", [{**record, "pseudo": record["segmentation"] + 1e-3 * record["step"]} for record in META])
    explorer.boards["alike"] = Board(alike, None)
    for name, index in (("meta", 6), ("product", 3), ("losses", 6), ("alike", 6)):
        figure = explorer.boards[name].canvas.figure
        explorer.boards[name].picture(index)
        boxes = [text.get_window_extent() for ax in figure.axes for text in ax.texts if text.get_text()]
        assert all(box.x0 >= 0 and box.x1 <= figure.bbox.width for box in boxes)
        names = [text.get_window_extent() for text in explorer.boards[name].axes[1].texts]
        assert len(names) == 2 and not names[0].overlaps(names[1])


# ---- what it refuses


def test_what_it_refuses(diaries):
    with pytest.raises(ValueError, match=r"no history; give \{'meta'"):
        FeedbackExplorer({})
    with pytest.raises(ValueError, match="the history of 'a' is empty; give that of minida.train"):
        FeedbackExplorer({"a": []})
    with pytest.raises(ValueError, match="the history of 'a' holds no feedback"):
        FeedbackExplorer({"a": [{"step": 1, "loss": 1.0, "segmentation": 1.0, "lr": 0.1}]})
    with pytest.raises(ValueError, match="'none' holds no feedback.*feedback meta or product"):
        FeedbackExplorer({"none": [{**record, "feedback": 0.0} for record in META]})
    with pytest.raises(ValueError, match="diaries hold product, histories meta"):
        FeedbackExplorer({"meta": META}, {"product": diaries["product"]})
    with pytest.raises(ValueError, match="diaries hold no training, histories meta"):
        FeedbackExplorer({"meta": META}, {"meta": Diary(MiniCity("real", "val", (32, 64), n=1))})
    with pytest.raises(ValueError, match="has no labels to judge the players by; open a labelled data set"):
        Diary(Unlabelled("real", "val", (32, 64), n=1))


# ---- the diary of a real training


def test_a_diary_changes_no_training(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {"source": "minicity:game?n=4", "target": "minicity:real?n=4", "seed": 3, "feedback": "meta"}
    plain = minida.train("mpl", "smoke", progress=False, **options)
    seen = []
    diary = Diary(MiniCity("real", "val", (64, 128), n=2), every=3)
    result = diary.train("smoke", callback=lambda step, record: seen.append(step), **options)
    assert list(diary.pages) == [0, 3, 4] and seen == [1, 2, 3, 4]
    for ours, theirs in zip(result.history, plain.history, strict=True):
        assert {**ours, "seconds": 0} == {**theirs, "seconds": 0}
    for ours, theirs in zip(result.model.parameters(), plain.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
    teacher = minida.load(result.folder / "teacher.safetensors")
    said = diary.pages[4].copy()
    diary.write(9, {"teacher": teacher, "model": result.model})
    assert all((diary.pages[9][player] == said[player]).all() for player in ("teacher", "student"))
    assert FeedbackExplorer({"meta": result.history}, {"meta": diary}).describe().startswith("meta, step ")
