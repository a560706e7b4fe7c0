"""The partition explorer in JupyterLab: every control by keyboard, and pictures and words follow."""

import pytest
from test_prediction_explorer import changes

pytestmark = pytest.mark.browser

CELL = """import minida
from minida.viz.partition_widget import PartitionExplorer
explorer = PartitionExplorer(minida.BiSeNet(19, "slim").eval(), minida.data.MiniCity("real", n=4))
explorer"""
WORDS = "[role=status]"


def test_every_control_by_keyboard(open_notebook, screenshots):
    page = open_notebook("partition", CELL)
    page.wait_for_selector(WORDS, timeout=60_000)
    assert page.locator(WORDS).inner_text().startswith("α = 20%: γ = ")
    pictures = page.locator("img.widget-image")
    assert pictures.count() == 3
    page.locator(".noUi-handle").nth(0).focus()
    changes(page, lambda: page.keyboard.press("ArrowRight"), "in image 1:")  # the picture may come before its words
    for handle, key in ((1, "ArrowRight"), (2, "ArrowRight"), (3, "ArrowLeft"), (4, "ArrowLeft")):
        before = page.locator(WORDS).inner_text()
        shown = [pictures.nth(n).get_attribute("src") for n in range(3)]
        page.locator(".noUi-handle").nth(handle).focus()
        page.keyboard.press(key)
        page.wait_for_function(
            "old => document.querySelector('[role=status]').innerText !== old[0]"
            " || [...document.querySelectorAll('img.widget-image')].some((img, n) => img.src !== old[n + 1])",
            arg=[before, *shown],
        )
    for box, value in ((0, "2"), (1, "0.5"), (2, "1"), (3, "4")):
        page.locator("input[type=number]").nth(box).focus()
        page.keyboard.press("Control+a")
        page.keyboard.type(value)
        page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('[role=status]').innerText.startsWith('α = 50%')")
    assert "in image 2:" in page.locator(WORDS).inner_text()
    page.wait_for_timeout(500)
    page.screenshot(path=screenshots / "partition-explorer.png")
    assert {"Image", "α", "Class", "r_l", "r_h"} <= set(page.locator("label.widget-label").all_inner_texts())
