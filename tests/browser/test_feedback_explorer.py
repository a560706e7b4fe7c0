"""The feedback explorer in JupyterLab: every control by keyboard, and pictures and words follow."""

import pytest

pytestmark = pytest.mark.browser

CELL = """import numpy as np
from minida.data import MiniCity
from minida.viz.feedback_widget import Diary, FeedbackExplorer

def record(step, feedback, **more):
    return {"step": step, "segmentation": 1.6 - 0.02 * step, "pseudo": 0.4, "lr": 0.02, "feedback": feedback, **more}

h = [0.004, 0.006, 0.001, -0.002, 0.0038, 0.005, -0.008, 0.002]
histories = {
    "meta": [record(n, value - 0.004, h=value) for n, value in enumerate(h, 1)],
    "product": [record(n, (n - 1) / 8 * 0.02 * (1.6 - 0.02 * n) * 0.4) for n in range(1, 9)],
}
diaries = {name: Diary(MiniCity("real", "val", (96, 192), n=3)) for name in histories}
for shift, diary in enumerate(diaries.values(), 3):  # the truth, moved a little further on every page
    for step in (0, 2, 4, 8):
        teacher, student = (np.roll(diary.truth, side * (shift + step), 2) % 19 for side in (1, -1))
        diary.pages[step] = {"teacher": teacher, "student": student}
explorer = FeedbackExplorer(histories, diaries)
explorer"""
WORDS = "[role=status]"


def test_every_control_by_keyboard(open_notebook, screenshots):
    page = open_notebook("feedback", CELL)
    page.wait_for_selector(WORDS, timeout=60_000)
    assert page.locator(WORDS).inner_text().startswith("meta, step 7 of 8: h = −0.0080")
    pictures = page.locator("img.widget-image")
    assert pictures.count() == 4

    def follow(act, words):
        """Which of the four pictures are others, once the words have followed; words come after pictures."""
        before = [pictures.nth(n).get_attribute("src") for n in range(4)]
        act()
        said = "words => document.querySelector('[role=status]').innerText.includes(words)"
        page.wait_for_function(said, arg=words, timeout=20_000)
        return [pictures.nth(n).get_attribute("src") != before[n] for n in range(4)]

    def key(handle, name):
        page.locator(".noUi-handle").nth(handle).focus()
        page.keyboard.press(name)

    def typed(box, value):
        page.locator("input[type=number]").nth(box).focus()
        page.keyboard.press("Control+a")
        page.keyboard.type(value)
        page.keyboard.press("Enter")

    def button(name):
        page.locator(f".widget-toggle-button:text-is('{name}')").focus()
        page.keyboard.press("Enter")

    only_chart, only_players, everything = [True] + [False] * 3, [False] + [True] * 3, [True] * 4
    assert follow(lambda: key(0, "ArrowLeft"), "step 6 of 8") == only_chart, "the players' page is the same"
    assert follow(lambda: key(0, "Home"), "step 1 of 8") == everything
    assert follow(lambda: key(1, "ArrowRight"), "Image 1 before the training") == only_players
    assert follow(lambda: typed(0, "4"), "it did harm") == everything
    assert follow(lambda: typed(1, "2"), "Image 2 after step 4") == only_players
    assert "less than usual, so the teacher is pushed away from its labels" in page.locator(WORDS).inner_text()
    page.wait_for_timeout(500)
    page.screenshot(path=screenshots / "feedback-meta.png")
    assert follow(lambda: button("product"), "never negative") == everything
    assert page.locator(WORDS).inner_text().startswith("product, step 4 of 8")
    page.wait_for_timeout(500)
    page.screenshot(path=screenshots / "feedback-product.png")
    assert {"Step", "Run", "Image"} <= set(page.locator("label.widget-label").all_inner_texts())
