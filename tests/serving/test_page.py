"""The page in a real browser: a photograph dropped, its answer read; keys, screen readers, no other host.

Skipped where there is no Chromium: Debian's `chromium`, or the one that ALEXNET_CHROMIUM names.
"""

import base64
import os
import shutil
import time

import pytest

import alexnet

CHROMIUM = os.environ.get("ALEXNET_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium: apt install chromium, or ALEXNET_CHROMIUM=PATH"),
]

DROP = """async ([data, name, kind]) => {
    const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
    const transfer = new DataTransfer();
    transfer.items.add(new File([bytes], name, { type: kind }));
    const given = { bubbles: true, cancelable: true };
    for (const event of ["dragenter", "dragover", "drop"])
        document.getElementById("drop").dispatchEvent(new DragEvent(event, { ...given, dataTransfer: transfer }));
}"""
PASTE = DROP.split("const given")[0] + (
    """document.dispatchEvent(new ClipboardEvent("paste", { bubbles: true, clipboardData: transfer })); }"""
)


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM,
            args=["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"],
        )
        yield chromium
        chromium.close()


@pytest.fixture
def server(start, draw, tmp_path):
    for number in range(8):
        place = tmp_path / "pictures" / "ab"[number % 2] / f"{number}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(draw(number, (48, 48)))
    alexnet.embed("cifar10", tmp_path / "pictures", tmp_path / "features")
    return start("cifar10", "--features", tmp_path / "features")


@pytest.fixture
def page(browser, server):
    """The page, opened; at the end nothing may have been asked of another host, and nothing gone wrong in it."""
    context = browser.new_context(permissions=["camera"])
    page = context.new_page()
    asked, wrong = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(server.address)
    yield page
    own = (server.address, "data:", f"blob:{server.address}")
    assert [url for url in asked if not url.startswith(own)] == []
    # A refusal's status is in the browser's console too; that is no fault of the page.
    assert [text for text in wrong if "status of 4" not in text] == []
    context.close()


def give(page, data, name="picture.png", kind="image/png", how=DROP):
    page.evaluate(how, [base64.b64encode(data).decode(), name, kind])


def until(page, condition):
    """Nothing, once the JavaScript `condition` holds; Playwright's own waiting would need eval, which is forbidden."""
    latest = time.monotonic() + 30
    while not page.evaluate(condition):
        assert time.monotonic() < latest, condition
        page.wait_for_timeout(50)


def labels(page):
    page.wait_for_selector("body:not(.busy) #labels li:nth-child(5)")
    return page.locator("#labels .label").all_inner_texts()


def expected(data):
    return [label for label, _ in alexnet.Classifier.load("cifar10", "cpu").predict([data])[0]]


def serious(page):
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {each['help']}" for each in found if each["impact"] in ("serious", "critical")]


def test_a_photograph_is_dropped_and_its_answer_read(page, draw, server):
    data = draw(3, (48, 48))
    give(page, data)
    answers = expected(data)
    assert labels(page) == answers
    assert page.locator("#status").inner_text().startswith(f"Most likely {answers[0]}, ")
    assert page.locator("#evidence").is_visible()
    assert not page.locator("#unsure").is_visible()
    page.wait_for_selector("#neighbours img")
    names = page.locator("#neighbours .file").all_inner_texts()
    assert names[0] == "3.png"  # it finds itself
    assert len(names) == 6
    loaded = "[...document.images].filter((i) => i.checkVisibility()).every((i) => i.complete && i.naturalWidth > 0)"
    until(page, loaded)
    width = page.locator("#labels .fill").first.evaluate("node => node.style.width")
    share = page.locator("#labels .share").first.inner_text()
    assert abs(float(width.rstrip("%")) - float(share.strip("<> %"))) <= 0.1


def test_pasted_chosen_and_photographed(page, draw):
    give(page, draw(4), how=PASTE)
    assert labels(page) == expected(draw(4))
    page.set_input_files("#file", {"name": "other.png", "mimeType": "image/png", "buffer": draw(5)})
    until(page, "document.getElementById('caption').textContent === 'other.png'")
    assert labels(page) == expected(draw(5))
    page.click("#camera")
    until(page, "document.getElementById('video').videoWidth > 0")
    assert serious(page) == []
    page.click("#take")
    until(page, "document.getElementById('caption').textContent === 'camera.jpg'")
    assert len(labels(page)) == 5
    assert page.evaluate("document.getElementById('video').srcObject") is None  # the camera is off


def test_what_the_browser_cannot_draw_the_server_shows(page, draw):
    give(page, draw(8, (48, 48), "TIFF"), "scan.tiff", "image/tiff")
    assert labels(page) == expected(draw(8, (48, 48), "TIFF"))
    until(page, "document.getElementById('picture').naturalWidth > 0")
    assert page.locator("#picture").is_visible()


def test_on_a_narrow_screen_the_answer_comes_into_sight(page, draw):
    page.emulate_media(reduced_motion="reduce")
    page.set_viewport_size({"width": 360, "height": 640})
    give(page, draw(9))
    labels(page)
    until(page, "document.querySelector('#labels li').getBoundingClientRect().bottom <= innerHeight")


def test_it_is_used_by_keys_alone(page, draw):
    give(page, draw(6))
    labels(page)
    focused = []
    for _ in range(6):
        page.keyboard.press("Tab")
        focused.append(page.evaluate("document.activeElement.id || document.activeElement.textContent"))
    assert focused[:4] == ["file", "camera", "overlay", "Ask from a program"]
    page.focus("#overlay")
    page.keyboard.press("Space")
    assert not page.locator("#evidence").is_visible()
    page.keyboard.press("Space")
    assert page.locator("#evidence").is_visible()


def test_what_it_is_not_sure_of_is_said(browser, start, draw):
    page = browser.new_page()
    page.goto(start("cifar10", "--abstain-below", "1").address)
    give(page, draw(3))
    labels(page)
    said = "Not sure: no share reaches 100 %. The network was never calibrated: its shares may be far too high or low."
    assert page.locator("#unsure").inner_text() == said
    assert page.locator("#status").inner_text().startswith("Not sure. Most likely")
    assert serious(page) == []
    give(page, b"no picture")
    page.wait_for_selector("#error:not([hidden])")
    assert not page.locator("#unsure").is_visible()
    page.close()


def test_what_is_no_picture_is_told_and_the_next_is_answered(page, draw):
    give(page, draw(2))
    labels(page)
    give(page, b"no picture", "letter.txt", "text/plain")
    page.wait_for_selector("#error:not([hidden])")
    assert page.locator("#error").inner_text().startswith("letter.txt cannot be used: not an image")
    until(page, "!document.getElementById('shown').checkVisibility()")  # nor does the picture before it stand there
    assert page.locator("#invitation").is_visible()
    assert serious(page) == []
    give(page, draw(7))
    assert labels(page) == expected(draw(7))
    assert not page.locator("#error").is_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_serious_is_found_by_axe_and_nothing_overflows(page, draw, scheme, server):
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    assert serious(page) == []
    give(page, draw(1))
    labels(page)
    page.wait_for_selector("#neighbours img")
    for width in (1200, 320):
        page.set_viewport_size({"width": width, "height": 800})
        assert serious(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.goto(f"{server.address}/docs")
    drawn = "document.querySelectorAll('section pre').length"
    until(page, f"{drawn} === 11")  # every question and fact
    assert not page.locator("#error").is_visible()
    assert page.locator("h2").all_inner_texts()[0] == "POST/v1/predict"
    assert serious(page) == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_policy_stops_what_is_not_of_the_page(browser, server):
    page = browser.new_page()
    page.goto(server.address)
    blocked = page.evaluate(
        """() => new Promise((done) => {
            document.addEventListener("securitypolicyviolation", (event) => done(event.violatedDirective));
            const script = document.createElement("script");
            script.textContent = "window.stolen = 1";
            document.body.append(script);
            setTimeout(() => done(""), 3000);
        })"""
    )
    assert blocked.startswith("script-src")
    assert page.evaluate("window.stolen") is None
    page.close()
