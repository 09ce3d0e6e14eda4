"""Chromium without a window, spoken to over its debugging protocol."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any

import aiohttp

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars", "--no-first-run",
    "--remote-debugging-port=0", "--window-size=1000,800",
)  # fmt: skip


class Browser:
    """One page.  ``complaints`` is what its console told of errors, among them violations of the content policy."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self._profile = Path(tempfile.mkdtemp(prefix="corten-browser-", dir="/tmp"))
        self._ids = itertools.count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._loaded = asyncio.Event()
        self._session = ""

    async def __aenter__(self) -> Browser:
        self._process = await asyncio.create_subprocess_exec(
            "chromium", *FLAGS, f"--user-data-dir={self._profile}", "about:blank",
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        port = self._profile / "DevToolsActivePort"
        async with asyncio.timeout(60):
            while not port.exists() or len(port.read_text().split()) < 2:
                await asyncio.sleep(0.05)
        number, path = port.read_text().split()
        self._http = aiohttp.ClientSession()
        self._socket = await self._http.ws_connect(f"ws://127.0.0.1:{number}{path}", max_msg_size=0)
        self._reader = asyncio.create_task(self._read())
        target = await self.ask("Target.createTarget", url="about:blank")
        attached = await self.ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.ask(f"{domain}.enable")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._reader.cancel()
        await self._socket.close()
        await self._http.close()
        self._process.terminate()
        await self._process.wait()
        shutil.rmtree(self._profile, ignore_errors=True)

    async def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._ids)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        await self._socket.send_json(message | ({"sessionId": self._session} if self._session else {}))
        async with asyncio.timeout(60):
            return await answer

    async def open(self, url: str) -> None:
        await self._until_loaded(self.ask("Page.navigate", url=url))

    async def follow(self, text: str) -> None:
        """Click on the link with this text."""
        find = f"[...document.links].find(a => a.textContent === {text!r}).click()"
        await self._until_loaded(self.run(find))

    async def run(self, script: str) -> Any:
        """The value of an expression in the page."""
        answer = await self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def text(self) -> str:
        return str(await self.run("document.body.innerText"))

    async def _until_loaded(self, action: Any) -> None:
        self._loaded.clear()
        await action
        async with asyncio.timeout(60):
            await self._loaded.wait()

    async def _read(self) -> None:
        async for message in self._socket:
            body = message.json()
            if "id" in body:
                answer = self._answers.pop(body["id"])
                if not answer.done():
                    answer.set_result(body.get("result") or {"exceptionDetails": body.get("error")})
            match body.get("method"):
                case "Page.loadEventFired":
                    self._loaded.set()
                case "Log.entryAdded" if body["params"]["entry"]["level"] == "error":
                    self.complaints.append(body["params"]["entry"]["text"] + body["params"]["entry"].get("url", ""))
                case "Runtime.exceptionThrown":
                    self.complaints.append(str(body["params"]["exceptionDetails"]))
