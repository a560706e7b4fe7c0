"""The bank explorer in JupyterLab: every control by keyboard, and pictures and words follow."""

from pathlib import Path

import pytest

pytestmark = pytest.mark.browser

START = (Path(__file__).parents[2] / "assets/checkpoints/slim-eighth.safetensors").as_posix()
CELL = f"""import minida
import torch
from minida.viz.bank_widget import BankExplorer
torch.manual_seed(0)
model = minida.BiSeNet(19, "slim", embedding=16)
model.load_state_dict(minida.load("{START}").state_dict(), strict=False)
explorer = BankExplorer(model, minida.data.MiniCity("real", n=12, size=(96, 192)))
explorer"""
WORDS = "[role=status]"


def follows(page, act, words: str, changed: tuple[int, ...]) -> None:
    """Do something; wait for the words, which come last, and for these pictures, other ones than before."""
    pictures = page.locator("img.widget-image")
    before = [pictures.nth(n).get_attribute("src") for n in range(3)]
    act()
    script = """([words, before, changed]) => {
      const pictures = [...document.querySelectorAll('img.widget-image')];
      return document.querySelector('[role=status]').innerText.includes(words)
        && changed.every(n => pictures[n].src !== before[n])
        && pictures.every(picture => picture.complete && picture.naturalWidth > 0); }"""
    page.wait_for_function(script, arg=[words, before, list(changed)], timeout=20_000)


def test_every_control_by_keyboard(open_notebook, screenshots):
    page = open_notebook("bank", CELL)
    page.wait_for_selector(WORDS, timeout=60_000)
    said = page.locator(WORDS).inner_text()
    assert said.startswith("Step 3 of 6: ") and "into car's queue" in said
    assert page.locator("img.widget-image").count() == 3
    handles = page.locator(".noUi-handle")
    assert handles.count() == 2
    handles.nth(0).focus()
    follows(page, lambda: page.keyboard.press("ArrowRight"), "Step 4 of 6: ", (0, 1, 2))
    handles.nth(1).focus()
    follows(page, lambda: page.keyboard.press("ArrowRight"), "into truck's queue", (0, 1))
    follows(page, lambda: page.keyboard.press("ArrowLeft"), "into car's queue", (0, 1))
    page.screenshot(path=screenshots / "bank-explorer.png")
    page.locator("input[type=number]").focus()
    page.keyboard.press("Control+a")
    page.keyboard.type("1")
    follows(page, lambda: page.keyboard.press("Enter"), "Step 1 of 6: ", (0, 1, 2))
    handles.nth(0).focus()
    follows(page, lambda: page.keyboard.press("ArrowLeft"), "Step 0 of 6: 0 keys were written", (0, 1, 2))
    assert {"Step", "Step =", "Class"} <= set(page.locator("label.widget-label").all_inner_texts())
