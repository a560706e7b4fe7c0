"""The street explorer in JupyterLab: every control by keyboard, and the picture follows."""

import pytest

pytestmark = pytest.mark.browser

CELL = """import minida
from minida import viz
explorer = viz.StreetExplorer()
explorer"""
PICTURE = "img.widget-image, .widget-image img"


@pytest.fixture
def page(open_notebook):
    page = open_notebook("explorer", CELL)
    page.wait_for_selector(PICTURE, timeout=60_000)
    return page


def source(page) -> str:
    return page.locator(PICTURE).first.get_attribute("src")


def changes(page, act) -> None:
    """Do something and wait until another picture, fully loaded, is on the screen."""
    before = source(page)
    seen = page.locator(PICTURE).first.screenshot()
    act()
    script = """([selector, before]) => {
      const image = document.querySelector(selector);
      return image.src !== before && image.complete && image.naturalWidth > 0; }"""
    page.wait_for_function(script, arg=[PICTURE, before], timeout=20_000)
    assert page.locator(PICTURE).first.screenshot() != seen, "another source, but the same pixels"


def words(page) -> str:
    return page.locator("[role=status]", has_text="gap").inner_text()


def focus_by_tab(page, selector: str, index: int = 0, key: str = "Tab") -> None:
    """Press Tab until the control has the focus: nothing else may be needed to reach it."""
    target = page.locator(selector).nth(index).element_handle()
    for _ in range(20):
        if page.evaluate("target => document.activeElement === target", target):
            return
        page.keyboard.press(key)
    pytest.fail(f"Tab does not reach {selector} number {index}")


def test_every_control_by_keyboard(page, screenshots):
    page.locator(".noUi-handle").first.focus()
    assert "Image 0 of" in words(page) and "gap 1.00: overlay" in words(page)

    changes(page, lambda: page.keyboard.press("ArrowRight"))  # the image slider
    page.wait_for_function("document.querySelector('[role=status]').innerText.includes('Image 1 of')")
    focus_by_tab(page, ".widget-text input, input[type=number]", 0)  # its typed box
    page.keyboard.press("Control+a")
    page.keyboard.type("12")
    changes(page, lambda: page.keyboard.press("Enter"))
    page.wait_for_function("document.querySelector('[role=status]').innerText.includes('Image 12 of')")

    focus_by_tab(page, ".noUi-handle", 1)  # the gap dial
    changes(page, lambda: page.keyboard.press("ArrowLeft"))
    page.wait_for_function("document.querySelector('[role=status]').innerText.includes('gap 0.95')")
    focus_by_tab(page, ".widget-text input, input[type=number]", 1)
    page.keyboard.press("Control+a")
    page.keyboard.type("0")
    changes(page, lambda: page.keyboard.press("Enter"))
    page.wait_for_function("document.querySelector('[role=status]').innerText.includes('gap 0.00')")

    page.screenshot(path=screenshots / "overlay.png")
    focus_by_tab(page, ".widget-toggle-button", 1)
    changes(page, lambda: page.keyboard.press("Space"))
    assert "labels" in words(page)
    page.screenshot(path=screenshots / "labels.png")
    focus_by_tab(page, ".widget-dropdown select")  # the class: open the list, one step up, take it
    changes(page, lambda: [page.keyboard.press(key) for key in ("Space", "ArrowUp", "Enter")])
    assert "only rider" in words(page)
    page.screenshot(path=screenshots / "one_class.png")
    focus_by_tab(page, ".widget-toggle-button", 0, key="Shift+Tab")
    changes(page, lambda: page.keyboard.press("Enter"))
    assert ": image." in words(page)


def test_labels_of_the_controls_are_visible(page):
    for label in ("Image", "Gap", "View", "Class"):
        assert page.locator("label.widget-label", has_text=label).first.is_visible()
    assert page.locator("label.widget-label", has_text="=").count() == 2
    box = page.locator(PICTURE).first.bounding_box()
    assert (round(box["width"]), round(box["height"])) == (512, 256), "the picture is stretched"
