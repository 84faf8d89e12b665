"""A real Chromium, driven over its DevTools protocol (https://chromedevtools.github.io/devtools-protocol/)."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.programs import require
from tests.waiting import stretched

START_SECONDS = 30.0
CALL_SECONDS = 20.0


class LeftPageError(RuntimeError):
    """The page was left for another one while a command was at work in it."""


OPTIONS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run",
    "--hide-scrollbars", "--remote-debugging-port=0",
    # Services of the browser that no page needs.
    "--disable-extensions", "--disable-component-extensions-with-background-pages",
    "--disable-component-update", "--disable-background-networking", "--disable-sync", "--disable-breakpad",
    # One process renders every page: the start of another takes as much CPU time as a page.
    "--disable-site-isolation-trials", "--renderer-process-limit=1",
    "--disable-features=IsolateOrigins,site-per-process,SpareRendererForSitePerProcess,BackForwardCache",
)  # fmt: skip
LEFT_PAGE = ("navigated or closed", "context was destroyed", "Cannot find context")
"""What Chromium says then."""


class Tab:
    """One page. `console` holds what it complained of: errors, and violations of its content policy."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._number = 0
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._reader = asyncio.create_task(self._read())
        self.console: list[str] = []
        self.dialogs: list[str] = []
        self.origins: set[str] = set()
        """Of every document that was opened."""
        self.listeners: list[Callable[[str, Any], None]] = []
        """Each is called with the method and the parameters of every event."""

    async def call(self, method: str, **params: Any) -> Any:
        """A command's result. Raises LeftPageError, or RuntimeError with what else the browser says."""
        self._number += 1
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._answers[self._number] = answer
        await self._socket.send_json({"id": self._number, "method": method, "params": params})
        async with asyncio.timeout(CALL_SECONDS):
            return await answer

    async def open(self, url: str) -> None:
        """Go there and wait until the document is complete."""
        await self.call("Page.navigate", url=url)
        await self.until("document.readyState === 'complete' && location.href !== 'about:blank'")

    async def run(self, script: str) -> Any:
        """The value of a JavaScript expression; a promise is waited for."""
        result = await self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True, userGesture=True
        )
        if "exceptionDetails" in result:
            raise RuntimeError(str(result["exceptionDetails"]))
        return result["result"].get("value")

    async def until(self, condition: str, *, within: float = 10.0) -> None:
        """Wait for a JavaScript condition. Raises TimeoutError with the text of the page."""
        deadline = asyncio.get_running_loop().time() + stretched(within)
        pause = 0.02
        while not await self._holds(condition):
            if asyncio.get_running_loop().time() > deadline:
                text = await self.run("document.body.innerText")
                raise TimeoutError(f"{condition}\n{text}\n{self.console}")
            await asyncio.sleep(pause)
            pause = min(0.15, pause * 1.3)

    async def _holds(self, condition: str) -> bool:
        try:
            return bool(await self.run(f"Boolean({condition})"))
        except LeftPageError:
            return False

    async def size(self, width: int, height: int, *, phone: bool = False) -> None:
        await self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=2 if phone else 1, mobile=phone,
        )  # fmt: skip

    async def scheme(self, name: str) -> None:
        """`light` or `dark`."""
        features = [{"name": "prefers-color-scheme", "value": name}]
        await self.call("Emulation.setEmulatedMedia", features=features)

    async def screenshot(self, path: Path) -> None:
        shot = await self.call("Page.captureScreenshot", format="png")
        await asyncio.to_thread(path.write_bytes, base64.b64decode(shot["data"]))

    async def forget(self) -> None:
        """Delete cookies, cache and what the sites that were opened have stored."""
        await self.call("Network.clearBrowserCookies")
        await self.call("Network.clearBrowserCache")
        for origin in self.origins:
            await self.call("Storage.clearDataForOrigin", origin=origin, storageTypes="all")

    async def close(self) -> None:
        self._reader.cancel()
        await asyncio.gather(self._reader, return_exceptions=True)
        await self._socket.close()

    async def _read(self) -> None:
        async for message in self._socket:
            data = json.loads(message.data)
            if "id" in data:
                answer = self._answers.pop(data["id"])
                if answer.done():
                    continue
                if "error" in data:
                    said = str(data["error"])
                    left = any(words in said for words in LEFT_PAGE)
                    answer.set_exception(LeftPageError(said) if left else RuntimeError(said))
                else:
                    answer.set_result(data["result"])
            else:
                await self._hear(data["method"], data["params"])

    async def _hear(self, method: str, params: Any) -> None:
        for listener in self.listeners:
            listener(method, params)
        match method:
            case "Runtime.exceptionThrown":
                self.console.append(str(params["exceptionDetails"]))
            case "Log.entryAdded" if params["entry"]["level"] in ("warning", "error"):
                self.console.append(params["entry"]["text"])
            case "Page.frameNavigated":
                self.origins.add(params["frame"]["securityOrigin"])
            case "Page.javascriptDialogOpening":
                self.dialogs.append(params["message"])
                self._number += 1
                self._answers[self._number] = asyncio.get_running_loop().create_future()
                await self._socket.send_json(
                    {"id": self._number, "method": "Page.handleJavaScriptDialog", "params": {"accept": True}}
                )


class Browser:
    """A headless Chromium with a profile of its own; skips the test where there is none. `close` it."""

    def __init__(self) -> None:
        program = require("chromium", "chromium", "chromium-browser", "google-chrome")
        self._profile = Path(tempfile.mkdtemp(prefix="dozor-chromium-"))
        self._process = subprocess.Popen(
            [program, *OPTIONS, f"--user-data-dir={self._profile}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    @asynccontextmanager
    async def tab(self) -> AsyncIterator[Tab]:
        """An empty tab. Cookies, cache and what its sites have stored are deleted with it.

        The tabs share a browser context, hence their process: a context of its own would start another.
        """
        port, path = await _address(self._profile / "DevToolsActivePort")
        address = f"ws://127.0.0.1:{port}"
        async with aiohttp.ClientSession() as http:
            whole = Tab(await http.ws_connect(address + path, max_msg_size=0))
            target = (await whole.call("Target.createTarget", url="about:blank"))["targetId"]
            try:
                tab = Tab(await http.ws_connect(f"{address}/devtools/page/{target}", max_msg_size=0))
                try:
                    for domain in ("Page", "Runtime", "Log"):
                        await tab.call(f"{domain}.enable")
                    try:
                        yield tab
                    finally:
                        await tab.forget()
                finally:
                    await tab.close()
            finally:
                await whole.call("Target.closeTarget", targetId=target)
                await whole.close()

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self._profile, ignore_errors=True)


@asynccontextmanager
async def chromium() -> AsyncIterator[Tab]:
    """A tab of a browser that ends with it."""
    browser = Browser()
    try:
        async with browser.tab() as tab:
            yield tab
    finally:
        await asyncio.to_thread(browser.close)


async def _address(file: Path) -> tuple[int, str]:
    """Chromium writes the port that it has chosen, and the path of its own socket."""
    async with asyncio.timeout(START_SECONDS):
        while True:
            lines = await asyncio.to_thread(lambda: file.read_text().split("\n") if file.exists() else [])
            if len(lines) > 1 and lines[1]:
                return int(lines[0]), lines[1]
            await asyncio.sleep(0.05)
