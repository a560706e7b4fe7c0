"""The label explorer in JupyterLab: every control by keyboard, and pictures and words follow."""

import pytest

pytestmark = pytest.mark.browser

CELL = """import minida
import torch
from minida.viz.label_widget import LabelExplorer
torch.manual_seed(0)
model = minida.BiSeNet(19, "slim").eval()
model.head.weight.data *= 1200  # an untrained one is as unsure everywhere
explorer = LabelExplorer(model, minida.data.MiniCity("real", "val", n=5), [1] * 19)
explorer"""
IMAGES = ".widget-image img, img.widget-image"  # left picture, its bars, right picture, its bars
LEFT, RIGHT, VIEW = range(3)  # groups of buttons
IMAGE, RATIO, CAP, ALPHA0, TEMPERATURE = range(5)  # sliders, and the typed boxes beside them


def changes(page, act, words: str, pictures: tuple[int, ...]) -> None:
    """Do something and wait until these pictures are others and the rest is not, and `words` are on the screen."""
    before = page.evaluate("query => [...document.querySelectorAll(query)].map(image => image.src)", IMAGES)
    act()
    script = """([query, before, pictures, words]) => {
      const images = [...document.querySelectorAll(query)];
      const status = [...document.querySelectorAll('[role=status]')].map(part => part.innerText).join(' ');
      return images.every((image, n) => image.complete && image.naturalWidth > 0
        && (image.src !== before[n]) === pictures.includes(n)) && status.includes(words); }"""
    page.wait_for_function(script, arg=[IMAGES, before, list(pictures), words], timeout=20_000)


def press(page, group: int, button: str) -> None:
    page.locator(".widget-toggle-buttons").nth(group).locator(f"button:text-is('{button}')").focus()
    page.keyboard.press("Enter")


def push(page, slider: int, key: str = "ArrowRight") -> None:
    page.locator(".noUi-handle").nth(slider).focus()
    page.keyboard.press(key)


def type_in(page, box: int, value: str) -> None:
    page.locator(".widget-text input, input[type=number]").nth(box).focus()
    page.keyboard.press("Control+a")
    page.keyboard.type(value)
    page.keyboard.press("Enter")


def test_every_control_by_keyboard(open_notebook, screenshots):
    page = open_notebook("labels", CELL)
    page.wait_for_function("query => document.querySelectorAll(query).length === 4", arg=IMAGES, timeout=60_000)
    changes(page, lambda: push(page, IMAGE), "Image 1 of 0 to 4, right or wrong", (0, 2))
    for view in ("image", "truth", "prediction", "believed", "right or wrong"):
        changes(page, lambda view=view: press(page, VIEW, view), f"Image 1 of 0 to 4, {view}", (0, 2))
    changes(page, lambda: push(page, RATIO), "ST: the surest", (0, 1, 2, 3))
    changes(page, lambda: type_in(page, RATIO, "0.5"), "5 images: 50.0% believed", (0, 1, 2, 3))
    changes(page, lambda: type_in(page, TEMPERATURE, "2"), "ST: the surest", (0, 1, 2, 3))
    page.screenshot(path=screenshots / "label-explorer.png")
    changes(page, lambda: press(page, LEFT, "MPT"), "MPT: each class's surer half", (0, 1))
    changes(page, lambda: type_in(page, CAP, "0.1"), "MPT: each class's surer half", (0, 1))
    changes(page, lambda: press(page, RIGHT, "Entropy"), "Entropy: all but", (2, 3))
    changes(page, lambda: push(page, ALPHA0), "Entropy: all but", (2, 3))
    changes(page, lambda: type_in(page, ALPHA0, "1"), "It believes nothing.", (2, 3))
    off = page.evaluate("() => [...document.querySelectorAll('.widget-text input')].map(box => box.disabled)")
    assert off == [False, True, False, False, False], "neither MPT nor Entropy reads the ratio"
