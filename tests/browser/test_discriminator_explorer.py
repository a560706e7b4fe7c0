"""The discriminator explorer in JupyterLab: every control by keyboard, and picture and words follow."""

import pytest
from test_prediction_explorer import PICTURE, changes, press

pytestmark = pytest.mark.browser

CELL = """import minida
import torch
from minida.viz.discriminator_widget import DiscriminatorExplorer
torch.manual_seed(0)
networks = {name: minida.BiSeNet(19, "slim").eval() for name in ("source-only", "DSC")}
datasets = {"target": minida.data.MiniCity("real", "val", n=5), "source": minida.data.MiniCity("game", "val", n=5)}
discriminator = minida.FCDiscriminator(width=4).requires_grad_(False)
said = discriminator(networks["DSC"].probs(minida.data.normalise(datasets["target"][0][0][None])))
discriminator.layers[-1].weight *= 2 / said.std()  # an untrained one says 0.50 everywhere
discriminator.layers[-1].bias -= said.mean() * 2 / said.std()
explorer = DiscriminatorExplorer(networks, discriminator, datasets)
explorer"""


def test_every_control_by_keyboard(open_notebook, screenshots):
    page = open_notebook("discriminator", CELL)
    page.wait_for_selector(PICTURE, timeout=60_000)
    assert "18 cells" in page.locator("[role=status]").inner_text()
    page.locator(".noUi-handle").first.focus()
    changes(page, lambda: page.keyboard.press("ArrowRight"), "Image 1, target, discriminator. source-only")
    page.screenshot(path=screenshots / "discriminator-explorer.png")
    changes(page, lambda: press(page, "source"), "Image 1, source, discriminator. source-only")
    changes(page, lambda: press(page, "DSC"), "Image 1, source, discriminator. DSC")
    for view in ("truth", "prediction", "discriminator", "image"):
        changes(page, lambda view=view: press(page, view), f"Image 1, source, {view}. DSC")
    page.locator(".widget-text input, input[type=number]").first.focus()
    page.keyboard.press("Control+a")
    page.keyboard.type("3")
    changes(page, lambda: page.keyboard.press("Enter"), "Image 3, source, image")
    labels = page.locator("label.widget-label").all_inner_texts()
    assert {"Image", "Network", "Domain", "View"} <= set(labels)
