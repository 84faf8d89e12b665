"""The stand-in's HTTP side: calls, long polling, faults played on the wire, stop and start on one port."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

from aiohttp import web

from tests.bot.botapi.faults import TERMINATED, Fault, FaultKind, Faults
from tests.bot.botapi.methods import Methods
from tests.bot.botapi.model import Json, World
from tests.bot.botapi.pace import Limits, Pace
from tests.bot.botapi.refusal import Refusal, bad_request
from tests.bot.botapi.validation import Params, Upload, read_params
from tests.waiting import stretched

TOKEN = "42:stand-in-token"  # the stand-in's own
WEBHOOK_ACTIVE = (
    "Conflict: can't use getUpdates method while webhook is active; "
    "use deleteWebhook to delete the webhook first"
)
MAX_BODY = 60 * 1024 * 1024


@dataclass(slots=True)
class Call:
    """One call as it came. `status` 0: no answer was given."""

    method: str
    params: Params
    at: float
    unknown_fields: list[str] = field(default_factory=list)
    status: int = 0
    fault: str | None = None
    description: str = ""

    def to_json(self) -> Json:
        return {
            "method": self.method,
            "params": {
                key: repr(value) if isinstance(value, Upload) else value for key, value in self.params.items()
            },
            "at": self.at,
            "status": self.status,
            "fault": self.fault,
            "description": self.description,
        }


class BotApi:
    """A Bot API server for one bot. What it knows survives `stop` and `start`.

    `now`: seconds since the epoch; `steady`: of the loop that it runs on.
    """

    def __init__(
        self,
        *,
        token: str = TOKEN,
        port: int = 0,
        now: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self.token = token
        self.port = port
        self._now, self._steady = now, steady
        self.world = World(token, now)
        self.faults = Faults()
        self.methods = Methods(self.world)
        self.calls: list[Call] = []
        self.confirmed_up_to = 0
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()
        self._pollers = 0
        self._runner: web.AppRunner | None = None
        self.extra_routes: Callable[[web.Application], None] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def keep_pace(self, limits: Limits | None = None) -> None:
        """From now on Telegram's pace limits are enforced."""
        self.methods.pace = Pace(limits or Limits(), self._steady)

    async def start(self) -> None:
        self._stopping.clear()
        app = web.Application(client_max_size=MAX_BODY)
        if self.extra_routes is not None:
            self.extra_routes(app)
        app.router.add_route("*", "/bot{token}/{method}", self._serve)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.2)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await site.start()
        assert site._server is not None
        self.port = site._server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]

    async def stop(self) -> None:
        """Telegram cannot be reached: connections are refused until `start`."""
        self._stopping.set()
        self.notify()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def __aenter__(self) -> BotApi:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def notify(self) -> None:
        """Wake whoever waits for a change."""
        self._changed.set()
        self._changed = asyncio.Event()

    async def wait_until(self, condition: Callable[[], bool], timeout: float = 10.0, what: str = "") -> None:
        """Until `condition` holds; checked at every call. Raises TimeoutError with the last calls."""
        deadline = time.monotonic() + stretched(timeout)
        while not condition():
            left = deadline - time.monotonic()
            if left <= 0:
                tail = "\n".join(str(call.to_json()) for call in self.calls[-8:])
                raise TimeoutError(f"the stand-in waited {timeout} s in vain: {what}\nlast calls:\n{tail}")
            changed = self._changed
            try:
                await asyncio.wait_for(changed.wait(), min(left, 0.2))
            except TimeoutError:
                pass

    def calls_of(self, *methods: str) -> list[Call]:
        return [call for call in self.calls if call.method in methods]

    def fail(self, kind: FaultKind, **more: Any) -> None:
        """The next call (see `Fault`) ends this way."""
        self.faults.add(Fault(kind, **more))

    def say(self, user_id: int, text: str, **more: Any) -> int:
        update_id = self.world.say(user_id, text, **more)
        self.notify()
        return update_id

    def edit(self, user_id: int, text: str) -> int:
        """Their last message becomes `text`."""
        update_id = self.world.edit(self.world.written(user_id)[-1], text)
        self.notify()
        return update_id

    def change_membership(self, chat_id: int, user_id: int, status: str, **more: Any) -> int:
        update_id = self.world.change_membership(chat_id, user_id, status, **more)
        self.notify()
        return update_id

    def press(self, user_id: int, chat_id: int, message_id: int, data: str, **more: Any) -> int:
        update_id = self.world.press(user_id, chat_id, message_id, data, **more)
        self.notify()
        return update_id

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        method = request.match_info["method"]
        call = Call(method, {}, self._now())
        reset = self.faults.next(method, {}) if self.faults.resets(method) else None
        if reset is not None:
            call.fault = reset.kind.value
            self.calls.append(call)
            return _cut(request, reset=True)
        try:
            raw, files = await _read_body(request)
            if ":" not in request.match_info["token"]:
                raise Refusal(404, "Not Found")
            if request.match_info["token"] != self.token:
                raise Refusal(401, "Unauthorized")
            call.params, call.unknown_fields = read_params(method, raw, files)
        except Refusal as refusal:
            self.calls.append(call)
            return self._answer(call, refusal.status, refusal.body())
        self.calls.append(call)
        fault = self.faults.next(method, call.params)
        if fault is not None:
            call.fault = fault.kind.value
            return await self._play(request, call, fault)
        return await self._carry_out(call)

    async def _carry_out(self, call: Call) -> web.Response:
        try:
            if call.method == "getUpdates":
                result: Any = await self._get_updates(call.params)
            else:
                result = self.methods.table[call.method](call.params)
        except Refusal as refusal:
            return self._answer(call, refusal.status, refusal.body())
        return self._answer(call, 200, {"ok": True, "result": result})

    def _answer(self, call: Call, status: int, body: Json) -> web.Response:
        call.status = status
        call.description = body.get("description", "")
        self.notify()
        headers = {"Date": format_datetime(datetime.fromtimestamp(self._now(), UTC), usegmt=True)}
        if retry_after := body.get("parameters", {}).get("retry_after"):
            headers["Retry-After"] = str(retry_after)
        return web.json_response(body, status=status, headers=headers)

    async def _get_updates(self, params: Params) -> list[Json]:
        if self.world.webhook:
            raise Refusal(
                409,
                WEBHOOK_ACTIVE,
            )
        limit, offset = params.get("limit", 100), params.get("offset", 0)
        if not 1 <= limit <= 100:
            raise bad_request("limit must be between 1 and 100")
        if offset > 0:
            self.world.updates = [update for update in self.world.updates if update["update_id"] >= offset]
            self.confirmed_up_to = max(self.confirmed_up_to, offset - 1)
        self._pollers += 1
        mine = self._pollers
        self.notify()
        deadline = self._steady() + params.get("timeout", 0)
        while not self.world.updates and (left := deadline - self._steady()) > 0:
            changed = self._changed
            try:
                await asyncio.wait_for(changed.wait(), left)
            except TimeoutError:
                break
            if self._stopping.is_set():
                break
            if mine != self._pollers:
                raise Refusal(
                    409,
                    TERMINATED,
                )
        return [update for update in self.world.updates if update["update_id"] >= offset][:limit]

    async def _play(self, request: web.Request, call: Call, fault: Fault) -> web.StreamResponse:
        if (refusal := fault.refusal()) is not None:
            return self._answer(call, refusal.status, refusal.body())
        match fault.kind:
            case FaultKind.SERVER_ERROR:
                call.status = fault.status
                self.notify()
                html = f"<html><head><title>{fault.status}</title></head><body><hr>nginx</body></html>"
                return web.Response(status=fault.status, text=html, content_type="text/html")
            case FaultKind.RESET:
                return _cut(request, reset=True)
            case FaultKind.HANG | FaultKind.HANG_AFTER_ACCEPT:
                if fault.kind is FaultKind.HANG_AFTER_ACCEPT:
                    await self._carry_out(call)
                    call.status = 0
                self.notify()
                try:
                    await asyncio.wait_for(self._stopping.wait(), fault.seconds)
                except TimeoutError:
                    pass
                return _cut(request)
            case FaultKind.NONSENSE:
                call.status = 200
                self.notify()
                return web.Response(text="<html>It works!</html>", content_type="text/html")
            case FaultKind.ANSWER:
                call.status = fault.status
                self.notify()
                if isinstance(fault.body, str):
                    return web.Response(status=fault.status, text=fault.body, headers=fault.headers)
                return web.json_response(fault.body, status=fault.status, headers=fault.headers)
            case FaultKind.NONSENSE_JSON:
                call.status = 200
                self.notify()
                return web.json_response(["what", 42])
        answer = await self._carry_out(call)
        body = answer.body
        assert isinstance(body, bytes)
        match fault.kind:
            case FaultKind.CUT_AFTER_ACCEPT:
                call.status = 0
                return _cut(request)
            case FaultKind.HALF_JSON:
                return web.Response(body=body[: len(body) // 2], content_type="application/json")
            case FaultKind.HALF_BODY:
                call.status = 0
                response = web.StreamResponse(headers={"Content-Length": str(len(body))})
                await response.prepare(request)
                await response.write(body[: len(body) // 2])
                return _cut(request)
        raise AssertionError(f"a fault nobody plays: {fault.kind}")


async def _read_body(request: web.Request) -> tuple[dict[str, Any], dict[str, Upload]]:
    raw: dict[str, Any] = dict(request.query)
    files: dict[str, Upload] = {}
    if request.content_type == "application/json":
        body = await request.json()
        if not isinstance(body, dict):
            raise bad_request("the body must be a JSON object")
        return {**raw, **body}, files
    try:
        form = await request.post()
    except UnicodeDecodeError:
        raise bad_request("strings must be encoded in UTF-8") from None
    for name, value in form.items():
        if isinstance(value, web.FileField):
            files[name] = Upload(value.filename, value.file.read())
            value.file.close()
            raw[name] = files[name]
        else:
            raw[name] = value
    return raw, files


def _cut(request: web.Request, *, reset: bool = False) -> web.StreamResponse:
    """Close the connection without an answer; `reset` sends RST."""
    transport = request.transport
    if transport is not None:
        sock = transport.get_extra_info("socket")
        if reset and sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort() if reset else transport.close()
    return web.Response()
