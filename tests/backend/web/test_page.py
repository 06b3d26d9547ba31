"""The page in a real browser: pictures from words and from pictures, watched, kept, done again."""

from __future__ import annotations

import base64
import re
import subprocess
from pathlib import Path

import pytest
from PIL import Image
from selenium.webdriver.common.keys import Keys

from tests.browser import Page
from tests.fake_webui import FakeWebUI
from tests.pictures import opened, png
from tests.running import Sluice, wait_until

SMALL = {"width": 64, "height": 64, "steps": 4}


def test_a_picture_is_made_from_words_and_watched_on_the_way(
    page: Page, webui: FakeWebUI, sluice: Sluice
) -> None:
    webui.model.state.hold(at_step=2)
    page.ask("a red circle", **SMALL, seed=7, negative_prompt="blue")
    page.sees("#standing-words", "Step 2 of 4")
    page.sees("#preview")
    assert page.find("#progress").get_property("value") == pytest.approx(0.5, abs=0.05)
    webui.model.state.release()

    [url] = page.made()
    page.until(lambda: page.find("#shown").get_property("naturalWidth") == 64, "it is loaded")
    assert "seed 7" in page.text("#caption-facts")
    assert "64 × 64" in page.text("#caption-facts")
    assert page.text("#said") == "Done, with seed 7"
    [asked] = webui.bodies("txt2img")
    assert (asked["prompt"], asked["negative_prompt"]) == ("a red circle", "blue")
    assert opened(sluice.get(url).content).size == (64, 64)


def test_the_place_in_the_queue_is_told_and_escape_leaves_it(
    page: Page, webui: FakeWebUI, sluice: Sluice
) -> None:
    webui.model.state.hold(at_step=0)
    body = {"prompt": "the first", **SMALL}
    first = sluice.post("txt2img", json=body, headers={"Prefer": "respond-async"}).json()
    webui.wait_for_requests(1)
    page.ask("the second", **SMALL)
    page.sees("#standing-words", "next in the queue")
    page.press(Keys.ESCAPE)
    page.until(lambda: page.text("#said") == "Canceled", "it is canceled")
    webui.model.state.release()
    wait_until(
        lambda: sluice.get(first["urls"]["self"]).json()["status"] == "succeeded", "the first ends"
    )
    assert [body["prompt"] for body in webui.bodies("txt2img")] == ["the first"]
    assert page.pictures() == []


def test_cancel_interrupts_the_webui(page: Page, webui: FakeWebUI) -> None:
    webui.model.state.hold(at_step=1)
    page.ask("a red circle", **SMALL)
    page.sees("#standing-words", "Step 1 of 4")
    page.click("#cancel")
    page.until(lambda: page.text("#said") == "Canceled", "it is canceled")
    webui.wait_for_requests(1, "interrupt")
    page.sees("#empty")
    assert page.find("#generate").get_attribute("aria-disabled") == "false"


def test_what_is_brushed_is_painted_anew_and_the_curl_line_does_the_same(
    page: Page, webui: FakeWebUI, somewhere: Path
) -> None:
    (somewhere / "disc.png").write_bytes(png(128, 128))
    page.find("#image").send_keys(str(somewhere / "disc.png"))
    page.sees("#mask")
    assert page.text("#generate") == "Make it like this picture"
    page.brush((0.25, 0.5), (0.75, 0.5))
    page.brush((0.25, 0.9), (0.75, 0.9))
    page.click("#undo")
    assert page.text("#generate") == "Repaint what is painted"
    page.ask("@ 'yellow' star", steps=4, seed=7)
    page.made()

    sent = webui.bodies("img2img")[0]
    assert (
        opened(base64.b64decode(sent["init_images"][0])).tobytes()
        == opened(png(128, 128)).tobytes()
    )
    brushed = opened(base64.b64decode(sent["mask"])).convert("L")
    assert brushed.size == (128, 128)
    assert [brushed.getpixel((x, 64)) for x in (32, 64, 96)] == [255] * 3
    assert [brushed.getpixel(at) for at in ((64, 40), (64, 115), (4, 64), (124, 64))] == [0] * 4
    assert _share_of_white(brushed) == pytest.approx(0.08, abs=0.03)

    page.downloads_to(somewhere)
    for name in ("image", "mask"):
        page.js("document.getElementById('terminal').open = true")
        page.click(f"#save-{name}")
        wait_until((somewhere / f"{name}.png").exists, f"{name}.png is saved")
    _run(page.text("#curl"), somewhere)
    assert webui.bodies("img2img")[1] == sent


def _share_of_white(mask: Image.Image) -> float:
    return sum(mask.histogram()[128:]) / (mask.width * mask.height)


def _run(line: str, folder: Path) -> None:
    subprocess.run(line, shell=True, cwd=folder, check=True, capture_output=True, timeout=30)


def test_the_curl_line_makes_the_same_picture(page: Page, sluice: Sluice, tmp_path: Path) -> None:
    page.ask("it's 5 o'clock \"sharp\"; $HOME `id`", **SMALL, seed=11)
    [url] = page.made()
    _run(page.text("#curl"), tmp_path)
    ours, theirs = opened(sluice.get(url).content), opened((tmp_path / "picture.png").read_bytes())
    assert ours.tobytes() == theirs.tobytes()
    assert ours.info["parameters"] == theirs.info["parameters"]


def test_a_reload_keeps_the_pictures_and_takes_up_what_runs(page: Page, webui: FakeWebUI) -> None:
    page.ask("the first", **SMALL, seed=1)
    page.made()
    webui.model.state.hold(at_step=2)
    page.ask("the second", seed=2)
    page.sees("#standing-words", "Step 2 of 4")
    page.reload()
    page.sees("#standing-words", "Step 2 of 4")
    assert len(page.pictures()) == 1
    webui.model.state.release()
    page.made(2)
    assert "seed 2" in page.text("#caption-facts")
    assert len(webui.bodies("txt2img")) == 2

    page.reload()
    assert len(page.pictures()) == 2
    page.click("#pictures li:last-child button")
    assert page.text("#caption-prompt") == "the first"
    page.click("#use-settings")
    assert page.find("#seed").get_property("value") == "1"


def test_a_picture_made_here_can_be_gone_on_with(page: Page, webui: FakeWebUI) -> None:
    page.ask("the first", **SMALL)
    page.made()
    page.click("#use-picture")
    page.sees("#mask")
    page.ask("the second")
    page.made(2)
    [sent] = webui.bodies("img2img")
    assert opened(base64.b64decode(sent["init_images"][0])).size == (64, 64)
    assert not sent.get("mask")


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_picture_can_be_dropped_or_pasted(page: Page, way: str) -> None:
    page.js(
        """
        const bytes = Uint8Array.from(atob(arguments[0]), (letter) => letter.charCodeAt(0));
        const transfer = new DataTransfer();
        transfer.items.add(new File([bytes], "it.png", { type: "image/png" }));
        const event = arguments[1] === "drop"
          ? new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true })
          : new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true });
        document.body.dispatchEvent(event);
        """,
        base64.b64encode(png(96, 80)).decode(),
        way,
    )
    page.sees("#mask")
    assert [page.find(f"#{side}").get_property("value") for side in ("width", "height")] == [
        "96",
        "80",
    ]


def test_everything_can_be_done_by_keyboard(page: Page, webui: FakeWebUI) -> None:
    assert page.js("return document.activeElement.id") == "prompt"
    page.find("#prompt").send_keys("a red circle")
    page.press(Keys.CONTROL, Keys.ENTER)
    page.made()
    page.js("document.getElementById('use-picture').focus()")
    page.press(Keys.ENTER)
    page.until(lambda: page.js("return document.activeElement.id") == "mask", "the mask has focus")
    for key in (Keys.ARROW_LEFT, Keys.SPACE, Keys.ARROW_UP, Keys.SPACE):
        page.press(key)
    assert page.text("#generate") == "Repaint what is painted"
    page.press(Keys.CONTROL, "z")
    page.press(Keys.CONTROL, "z")
    assert page.text("#generate") == "Make it like this picture"
    page.press(Keys.SPACE)
    page.press(Keys.CONTROL, Keys.ENTER)
    page.made(2)
    assert webui.bodies("img2img")[0]["mask"]


def test_what_can_be_chosen_comes_from_the_api(page: Page, webui: FakeWebUI) -> None:
    assert [option.text for option in page.all("#model option")] == ["Default", "tinyA", "tinyB"]
    page.find("#sampler_name").send_keys("Euler a")
    page.find("#model").send_keys("tinyB")
    page.ask("a red circle", **SMALL)
    page.made()
    assert webui.bodies("txt2img")[0]["sampler_name"] == "Euler a"
    assert "tinyB" in page.text("#caption-facts")
    assert page.find("#width").get_property("max") == "2048"


def test_an_example_is_one_click(page: Page, webui: FakeWebUI) -> None:
    example = page.text("#examples button")
    page.click("#examples button")
    page.made()
    assert webui.bodies("txt2img")[0]["prompt"] == example


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_has_all_of_it_in_its_width(page: Page, scheme: str) -> None:
    page.ask("averylongwordwithoutanyspace" * 5, **SMALL)
    page.made()
    page.looks(360, 740, scheme=scheme)
    page.click("#use-picture")
    page.sees("#mask")
    page.js("for (const box of document.querySelectorAll('details')) box.open = true")
    assert page.js("return document.documentElement.scrollWidth") == 360
    wide = (
        "return [...document.querySelectorAll('button, a, input, select, textarea, canvas, img')]"
    )
    beyond = ".filter(e => e.getClientRects().length && !e.closest('#caption .actions, .unseen')"
    assert page.js(f"{wide}{beyond} && e.getBoundingClientRect().right > 360).map(e => e.id)") == []
    ground = page.js("return getComputedStyle(document.body).backgroundColor")
    lightness = sum(int(part) for part in re.findall(r"\d+", ground)[:3]) / 3
    assert (lightness > 200) is (scheme == "light")


def test_markup_in_a_prompt_stays_text(page: Page) -> None:
    prompt = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"
    page.ask(prompt, **SMALL)
    page.made()
    page.reload()
    page.sees("#shown")
    assert page.text("#caption-prompt") == prompt
    assert page.find("#pictures img").get_attribute("alt") == prompt
    assert page.all("img[src=x]") == []
    assert page.driver.title == "Sluice"
