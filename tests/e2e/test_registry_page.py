"""The registry's page for people, seen through a browser."""

from __future__ import annotations

import base64
import shutil
from pathlib import Path

import pytest

from corten.registry.config import AuthOptions, Options
from corten.registry.passwords import hashed
from rig.browser import Browser
from rig.serving import make_image, scenario, serving, session

pytestmark = pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium is not installed")
PNG = b"\x89PNG\r\n\x1a\n"


@scenario
async def test_from_the_list_to_a_layer(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, session(served) as asked, Browser() as browser:
        await browser.open(f"{served.url}/")
        assert "Nothing has been pushed here yet." in await browser.text()
        image = make_image(size=300_000)
        await asked.push_image("team/app", image, "v1.0")
        await asked.push_image("public/base", make_image(seed=2), "latest")

        await browser.open(f"{served.url}/")
        assert await browser.run("location.pathname") == "/ui/"
        assert await browser.run("[...document.querySelectorAll('td a')].map(a => a.innerText)") == [
            "public/base", "team/app",
        ]  # fmt: skip
        await browser.follow("team/app")
        cells = await browser.run("[...document.querySelectorAll('td')].map(e => e.innerText)")
        assert cells[:3] == ["v1.0", "linux/amd64", "601kB"]
        await browser.follow("v1.0")
        text = await browser.text()
        assert str(image.digest) in text and all(str(layer.digest) in text for layer in image.parsed.layers)
        assert await browser.run("getComputedStyle(document.querySelector('header')).borderBottomStyle") == "solid"
        assert browser.complaints == []
        picture = base64.b64decode((await browser.ask("Page.captureScreenshot"))["data"])
        assert picture.startswith(PNG) and len(picture) > 10_000


@scenario
async def test_the_pull_command_is_copied(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, session(served) as asked, Browser() as browser:
        await asked.push_image("team/app", make_image(), "v1")
        await browser.ask("Browser.grantPermissions", permissions=["clipboardReadWrite"], origin=served.url)
        await browser.open(f"{served.url}/ui/team/app")
        await browser.run("document.querySelector('button').click()")
        label = "new Promise(r => setTimeout(() => r(document.querySelector('button').innerText), 300))"
        assert await browser.run(label) == "Copied"
        copied = await browser.run(
            "navigator.clipboard.readText().catch(() => getSelection().toString())"
        )  # without focus there is no clipboard: the command is selected instead
        assert copied == f"docker pull {served.host}/team/app:v1"
        assert browser.complaints == []


@scenario
async def test_what_images_say_is_only_text(tmp_path: Path) -> None:
    """An image's history is anybody's; it must not become part of the page."""
    async with serving(tmp_path) as served, session(served) as asked, Browser() as browser:
        await asked.push_image("team/app", make_image(), "v1")
        await browser.open(f"{served.url}/ui/team/app:v1")
        assert "RUN <seed>" in await browser.text()
        assert await browser.run("document.querySelector('seed')") is None
        script = "const s = document.createElement('script'); s.text = 'window.done = 1'; document.body.append(s)"
        await browser.run(f"{{ {script} }}")
        assert await browser.run("window.done") is None
        assert any("Content Security Policy" in complaint for complaint in browser.complaints)


@scenario
async def test_on_a_narrow_screen_nothing_is_cut_off(tmp_path: Path) -> None:
    async with serving(tmp_path) as served, session(served) as asked, Browser() as browser:
        await asked.push_image("a-team/with/a/rather-long/name-of-a-repository", make_image(), "v1.0.0-rc.1")
        await browser.ask("Emulation.setDeviceMetricsOverride", width=390, height=800, deviceScaleFactor=1, mobile=True)
        for path in ("", "a-team/with/a/rather-long/name-of-a-repository"):
            await browser.open(f"{served.url}/ui/{path}")
            assert await browser.run("document.documentElement.scrollWidth") <= 390, path


@scenario
async def test_a_password_is_asked_for_and_taken(tmp_path: Path) -> None:
    (tmp_path / "htpasswd").write_text(f"alice:{hashed('secret', cost=5)}\n")
    options = Options(auth=AuthOptions(str(tmp_path / "htpasswd")))
    async with serving(tmp_path / "data", options) as served, session(served) as asked, Browser() as browser:
        told = base64.b64encode(b"alice:secret").decode()
        assert (await asked.ask("GET", "/ui/")).status == 401
        await browser.ask("Network.setExtraHTTPHeaders", headers={"Authorization": f"Basic {told}"})
        await browser.open(f"{served.url}/ui/")
        assert "Nothing has been pushed here yet." in await browser.text()
