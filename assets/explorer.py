"""Make explorer.gif again: `python assets/explorer.py` (Chromium, and the packages of the tests).

The real widget, in JupyterLab, moved by keyboard: DARS beside ST while the ratio α grows; then the strategies change.
"""

import io
import os
import shutil
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from minida.teach.explorer import OPEN, TEACHER, serving
from minida.types import PALETTE

FOLDER = Path(__file__).resolve().parent
CODE = (
    OPEN.format(model=str(TEACHER), data="minicity:real", split="val", size=(96, 192), prior="minicity:game")
    + """from minida.viz.label_widget import LabelExplorer

explorer = LabelExplorer(teacher, streets, prior).show(number=3)
explorer"""
)
IMAGES, WIDTH = ".widget-image img, img.widget-image", 900
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]


def settled(page: Page, words: str) -> None:
    """Wait until the words are there and every picture is drawn."""
    script = """([query, words]) => document.body.innerText.includes(words)
      && [...document.querySelectorAll(query)].every(image => image.complete)"""
    page.wait_for_function(script, arg=[IMAGES, words], timeout=30_000)
    page.wait_for_timeout(150)


def main() -> None:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    frames: list[Image.Image] = []
    with serving(0, CODE) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        page = browser.new_page(viewport={"width": 1180, "height": 1500}, device_scale_factor=1)
        page.goto(address)
        page.wait_for_function("query => document.querySelectorAll(query).length === 4", arg=IMAGES, timeout=60_000)
        page.add_style_tag(content="[role=tooltip] { display: none }")

        def shoot(times: int = 1) -> None:
            whole, bars = page.locator(".jp-OutputArea-output").first, page.locator(IMAGES).nth(3)
            picture = Image.open(io.BytesIO(whole.screenshot())).convert("RGB")
            top, frame = whole.bounding_box()["y"], bars.bounding_box()
            frames.extend([picture.crop((0, 0, picture.width, round(frame["y"] + frame["height"] - top) + 8))] * times)

        def press(group: int, button: str) -> None:
            page.locator(".widget-toggle-buttons").nth(group).locator(f"button:text-is('{button}')").focus()
            page.keyboard.press("Enter")
            page.evaluate("document.activeElement.blur()")

        settled(page, "All 20 images: 20.0% believed")
        page.locator(".noUi-handle").nth(1).focus()
        for percent in range(21, 73):
            page.keyboard.press("ArrowRight")
            if percent % 4 == 0:
                settled(page, f"All 20 images: {percent}.")
                shoot(4 if percent == 40 else 1)
        shoot(6)
        press(0, "MPT")
        settled(page, "MPT: each class's surer half")
        shoot(8)
        press(2, "believed")
        settled(page, "Image 3 of 0 to 19, believed")
        shoot(8)
        press(2, "confidence")
        settled(page, "Image 3 of 0 to 19, confidence")
        shoot(8)
        browser.close()
    height = round(frames[0].height * WIDTH / frames[0].width)
    small = [frame.resize((WIDTH, height), Image.Resampling.LANCZOS) for frame in frames]
    sheet = Image.new("RGB", (WIDTH, 3 * height))  # one palette, so that nothing flickers
    for row, frame in enumerate((small[0], small[-10], small[-1])):
        sheet.paste(frame, (0, row * height))
    colours = sheet.quantize(236)
    colours.putpalette([*colours.getpalette()[: 3 * 236], *PALETTE.flatten().tolist()])  # the classes' own, exactly
    reduced = [frame.quantize(palette=colours, dither=Image.Dither.NONE) for frame in small]
    part = FOLDER / "explorer.gif.part"
    reduced[0].save(part, "GIF", save_all=True, append_images=reduced[1:], duration=180, loop=0, optimize=True)
    os.replace(part, FOLDER / "explorer.gif")


if __name__ == "__main__":
    main()
