"""The prediction explorer in JupyterLab: every control by keyboard, and picture and words follow."""

import pytest

pytestmark = pytest.mark.browser

CELL = """import minida
import torch
from minida.viz.prediction_widget import PredictionExplorer
torch.manual_seed(0)
networks = {name: minida.BiSeNet(19, "slim").eval() for name in ("oracle", "source-only")}
explorer = PredictionExplorer(networks, minida.data.MiniCity("real", "val", n=5))
explorer"""
PICTURE = "img.widget-image, .widget-image img"


def changes(page, act, words: str) -> None:
    """Do something and wait until another picture is on the screen, and `words` beside it."""
    before = page.locator(PICTURE).first.get_attribute("src")
    act()
    script = """([selector, before, words]) => {
      const image = document.querySelector(selector);
      const status = document.querySelector('[role=status]').innerText;
      return image.src !== before && image.complete && image.naturalWidth > 0 && status.includes(words); }"""
    page.wait_for_function(script, arg=[PICTURE, before, words], timeout=20_000)


def press(page, button: str) -> None:
    page.locator(f".widget-toggle-button:text-is('{button}')").focus()
    page.keyboard.press("Enter")


def test_every_control_by_keyboard(open_notebook, screenshots):
    page = open_notebook("predictions", CELL)
    page.wait_for_selector(PICTURE, timeout=60_000)
    page.locator(".noUi-handle").first.focus()
    changes(page, lambda: page.keyboard.press("ArrowRight"), "Image 1, prediction. oracle")
    page.screenshot(path=screenshots / "prediction-explorer.png")
    changes(page, lambda: press(page, "source-only"), "Image 1, prediction. source-only")
    for view in ("truth", "prediction", "errors", "image"):
        changes(page, lambda view=view: press(page, view), f"Image 1, {view}. source-only")
    page.locator(".widget-text input, input[type=number]").first.focus()
    page.keyboard.press("Control+a")
    page.keyboard.type("3")
    changes(page, lambda: page.keyboard.press("Enter"), "Image 3, image")
