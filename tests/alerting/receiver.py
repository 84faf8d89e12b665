"""The receiver of a fallback channel: a web server that accepts or refuses Apprise's JSON."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from aiohttp import web

from tests.waiting import until


class Receiver:
    """`status`: what it answers. `hang`: it answers nothing."""

    def __init__(self) -> None:
        self.status = 200
        self.hang = False
        self.asked = 0
        self.said: list[tuple[str, str]] = []
        """Title and text of what it took."""
        self._freed = asyncio.Event()
        self._runner: web.AppRunner
        self.port = 0

    def url(self, secret: str = "s3cret-path-of-the-hook", *, patience: float = 60.0) -> str:
        """`patience`: seconds before Apprise gives up on it; its own 4 are too few for a busy machine."""
        return f"json://127.0.0.1:{self.port}/{secret}?cto={patience}&rto={patience}"

    @property
    def text(self) -> str:
        return "\n".join(f"{title}\n{text}" for title, text in self.said)

    async def has(self, *words: str, within: float = 30.0) -> None:
        """Until all of these were said."""
        await until(lambda: all(word in self.text for word in words), within=within)

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/{path:.*}", self._take)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._freed.set()
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.Response:
        self.asked += 1
        body = await request.json()
        if self.hang:
            await self._freed.wait()
        if self.status == 200:
            self.said.append((body["title"], body["message"]))
        return web.Response(status=self.status)
