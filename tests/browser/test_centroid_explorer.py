"""The centroid explorer in JupyterLab: every control by keyboard, and pictures and words follow."""

import pytest
from test_prediction_explorer import changes

pytestmark = pytest.mark.browser

CELL = """import minida
from minida.viz.centroid_widget import CentroidExplorer
explorer = CentroidExplorer(minida.data.MiniCity("real", n=20))
explorer"""
WORDS = "[role=status]"


def test_every_control_by_keyboard(open_notebook, screenshots):
    page = open_notebook("centroids", CELL)
    page.wait_for_selector(WORDS, timeout=60_000)
    assert page.locator(WORDS).inner_text().startswith("Draw 0: ")
    pictures = page.locator("img.widget-image")
    assert pictures.count() == 3
    page.locator(".noUi-handle").nth(0).focus()
    changes(page, lambda: page.keyboard.press("ArrowRight"), "Draw 1: ")
    before = page.locator(WORDS).inner_text()
    for handle in (1, 2):
        shown = [pictures.nth(n).get_attribute("src") for n in range(3)]
        page.locator(".noUi-handle").nth(handle).focus()
        page.keyboard.press("ArrowRight")
        page.wait_for_function(
            "old => [...document.querySelectorAll('img.widget-image')].some((img, n) => img.src !== old[n])", arg=shown
        )
    page.wait_for_function(  # the share of the drawn class follows; the words come after the pictures
        "old => document.querySelector('[role=status]').innerText !== old", arg=before, timeout=20_000
    )
    for box, value in ((0, "7"), (1, "3"), (2, "1")):
        page.locator("input[type=number]").nth(box).focus()
        page.keyboard.press("Control+a")
        page.keyboard.type(value)
        page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('[role=status]').innerText.startsWith('Draw 7: ')")
    page.wait_for_timeout(500)
    page.screenshot(path=screenshots / "centroid-explorer.png")
    assert {"Draw", "Scale", "Share"} <= set(page.locator("label.widget-label").all_inner_texts())
