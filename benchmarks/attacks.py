"""What clients of the web server, and a process out of descriptors, can do to the bot and to alerts.

    python -m benchmarks.attacks [flood|idle|bodies|guesses|descriptors ...] [--seconds 30] [--program DIR]

Processes: a Bot API stand-in, `dozor run` with `ulimit -n 1024`, and this one, which attacks on loopback.
`--program DIR` runs another checkout's sources, to compare.

- flood: 500 clients on each of `/`, `/healthz`, `/api/status`, `/metrics`: the longest wait for the answer to
  `/status` in the chat, and the longest delay of an alert (from the failure to the request at the stand-in).
- idle: 1,100 connections that send nothing: whether a probe, the bot and alerts still work.
- bodies: 300 webhook bodies that are sent half, with a wrong secret: growth of the runner's resident memory.
- guesses: wrong tokens for `POST /api/tasks/...`: answered with 401 and 429 per second, and recorded.
- descriptors: a checker takes every descriptor: lines of the log per minute.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import psutil

from tests.bot.botapi.control import ControlClient
from tests.bot.botapi.server import TOKEN

CHAT = -500
PERSON = 1001
WEB_TOKEN = "a-token-of-the-benchmark-0123456789"
PATHS = ("/", "/healthz", "/api/status", "/metrics")
CLIENTS = 500
IDLE = 1_100
BODIES = 300
TASKS = 100
DESCRIPTORS = 1_024
BOT_GOAL, ALERT_GOAL = 1.0, 2.0
"""Seconds beside the waits without an attack."""
CHECKERS = """
import asyncio, os, pathlib, time
from dozor import Fatal
HERE = pathlib.Path(__file__).parent
HELD = []

async def nothing():
    ...

async def fails_when_told(ctx):
    order = HERE / ctx.task
    if order.exists():
        order.unlink()
        raise Fatal(f"failed at {time.time():.3f}.")

async def uses_database(ctx):
    if (HERE / "take").exists():
        await ctx.db.fetchval("SELECT 1")

async def takes_descriptors():
    if (HERE / "take").exists():
        try:
            while True:
                HELD.append(os.open("/dev/null", os.O_RDONLY))
        except OSError:
            pass
"""


@dataclass
class Runner:
    """`dozor run` under attack."""

    control: ControlClient
    process: psutil.Process
    folder: Path
    port: int
    orders: int = 0

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    async def bot(self, within: float = 60.0) -> float:
        """Seconds from a person's `/status` to the answer; infinite: none came."""
        since, asked = len(await self.control.get("calls")), time.time()
        await self.control.post("say", user_id=PERSON, text="/status")
        return await self._call(since, asked, within, lambda params: params.get("chat_id") == PERSON)

    async def alert(self, within: float = 60.0) -> float:
        """Seconds from a failure to its message; infinite: none came."""
        name = f"told_{self.orders:02}"
        self.orders += 1
        since = len(await self.control.get("calls"))
        (self.folder / name).touch()
        asked = time.time()
        return await self._call(since, asked, within, lambda params: name in str(params.get("text", "")))

    async def _call(
        self, since: int, asked: float, within: float, wanted: Callable[[dict[str, object]], bool]
    ) -> float:
        while time.time() - asked < within:
            for call in await self.control.get("calls", since=since):
                if call["method"] in ("sendMessage", "editMessageText") and wanted(call["params"]):
                    return float(call["at"]) - asked
            await asyncio.sleep(0.02)
        return float("inf")

    async def waits(self, seconds: float) -> tuple[float, float]:
        """The longest waits for the bot and for alerts within `seconds`."""
        ends = time.monotonic() + seconds

        async def bot() -> float:
            longest = 0.0
            while time.monotonic() < ends:
                longest = max(longest, await self.bot(within=seconds + 30))
                await asyncio.sleep(1.0)
            return longest

        async def alerts() -> float:
            longest = 0.0
            while time.monotonic() < ends:
                longest = max(longest, await self.alert(within=seconds + 30))
                await asyncio.sleep(6.0)
            return longest

        return await asyncio.gather(bot(), alerts())


@asynccontextmanager
async def running(program: Path, *, webhook: bool = False) -> AsyncIterator[Runner]:
    with tempfile.TemporaryDirectory(prefix="dozor-bench-") as name:
        folder = Path(name)
        port = _free_port()
        api = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.bot.botapi", stdout=asyncio.subprocess.PIPE
        )
        assert api.stdout is not None
        url = (await api.stdout.readline()).decode().split()[-1]
        _configure(folder, url, port, webhook=webhook)
        ready = "setWebhook" if webhook else "getUpdates"
        sources = f"{program / 'runner'}:{program / 'bot'}"
        with (folder / "log").open("w") as log:
            runner = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "dozor", "run", "-c", str(folder / "config.yaml"),
                stdout=log, stderr=log, cwd=folder, env={**os.environ, "PYTHONPATH": sources},
                preexec_fn=_limit,
            )  # fmt: skip
        try:
            async with ControlClient(url) as control:
                await control.post("user", id=PERSON, first_name="Anna", language_code="en")
                await control.post("chat", id=CHAT, type="group", title="On call")
                one = Runner(control, psutil.Process(runner.pid), folder, port)
                deadline = time.monotonic() + 90
                while not any(call["method"] == ready for call in await control.get("calls")):
                    if runner.returncode is not None or time.monotonic() > deadline:
                        raise RuntimeError(f"the runner does not poll:\n{one.log[-2000:]}")
                    await asyncio.sleep(0.2)
                await asyncio.sleep(4.0)
                yield one
        finally:
            for process in (runner, api):
                if process.returncode is None:
                    process.send_signal(signal.SIGTERM)
                    try:
                        await asyncio.wait_for(process.wait(), 30)
                    except TimeoutError:
                        process.kill()
                        await process.wait()


async def flood(one: Runner, seconds: float) -> bool:
    """500 clients on each path."""
    calm_bot, calm_alert = await one.waits(10)
    print(f"  without load        bot {calm_bot:6.2f} s   alerts {calm_alert:6.2f} s", flush=True)
    good = True
    for path in PATHS:
        attack = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.attacks", "--clients", f"http://127.0.0.1:{one.port}{path}",
            "--seconds", str(seconds), stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        await asyncio.sleep(1.0)
        bot, alerts = await one.waits(seconds - 2)
        answered = (await attack.communicate())[0].decode().strip()
        print(f"  {path:<12} {answered:>6}/s bot {bot:6.2f} s   alerts {alerts:6.2f} s", flush=True)
        good = good and bot - calm_bot <= BOT_GOAL and alerts - calm_alert <= ALERT_GOAL
        await asyncio.sleep(3.0)
    return good


async def clients(url: str, seconds: float) -> None:
    """500 clients in a process of their own; prints answers per second."""
    _limit(4_096)
    answered = 0
    ends = time.monotonic() + seconds

    async def client(session: aiohttp.ClientSession) -> None:
        nonlocal answered
        while time.monotonic() < ends:
            try:
                async with asyncio.timeout(max(0.1, ends - time.monotonic())), session.get(url) as answer:
                    await answer.read()
                    answered += 1
            except (OSError, aiohttp.ClientError):
                await asyncio.sleep(0.05)

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(client(session) for _ in range(CLIENTS)))
    print(round(answered / seconds))


async def idle(one: Runner, seconds: float) -> bool:
    """1,100 connections that send nothing, opened anew when they are closed."""
    _limit(4_096)
    stop = asyncio.Event()

    async def hold() -> None:
        while not stop.is_set():
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
                await reader.read()
                writer.close()
            except OSError:
                pass
            await asyncio.sleep(0.2)

    holders = [asyncio.create_task(hold()) for _ in range(IDLE)]
    await asyncio.sleep(5.0)
    lines = one.log.count("\n")
    open_at_runner = one.process.num_fds()
    probes: list[str] = []
    for _ in range(3):
        try:
            async with (
                aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(10)) as session,
                session.get(f"http://127.0.0.1:{one.port}/healthz") as answer,
            ):
                probes.append(str(answer.status))
        except (OSError, aiohttp.ClientError):
            probes.append("no answer")
    bot, alerts = await one.waits(min(seconds, 20.0))
    print(
        f"  {IDLE} idle connections, {open_at_runner} descriptors in use: /healthz {', '.join(probes)};"
        f" bot {bot:.2f} s, alerts {alerts:.2f} s; {one.log.count(chr(10)) - lines} log lines",
        flush=True,
    )
    stop.set()
    for holder in holders:
        holder.cancel()
    await asyncio.gather(*holders, return_exceptions=True)
    return probes == ["200"] * 3 and bot < 2.0 and alerts < 3.0


async def bodies(one: Runner, seconds: float) -> bool:
    """300 bodies of 900 kB, sent but for the end."""
    _limit(4_096)
    before = one.process.memory_info().rss
    most = before
    head = b"POST /telegram HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Telegram-Bot-Api-Secret-Token: wrong\r\n"
    head += b"Content-Type: application/json\r\nContent-Length: 900000\r\n\r\n"
    statuses: dict[str, int] = {}
    writers: list[asyncio.StreamWriter] = []

    async def send() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", one.port)
        writers.append(writer)
        status = "none yet"
        try:
            writer.write(head)
            for _ in range(89):
                writer.write(b"x" * 10_000)
                async with asyncio.timeout(5):
                    await writer.drain()
            async with asyncio.timeout(5):
                status = (await reader.readline()).decode()[9:12] or "closed"
        except TimeoutError:
            pass
        except OSError:
            status = "closed"
        statuses[status] = statuses.get(status, 0) + 1

    sending = asyncio.gather(*(send() for _ in range(BODIES)), return_exceptions=True)
    while not sending.done():
        most = max(most, one.process.memory_info().rss)
        await asyncio.sleep(0.1)
    await asyncio.sleep(2.0)
    most = max(most, one.process.memory_info().rss)
    for writer in writers:
        writer.close()
    growth = (most - before) / 1e6
    print(f"  {BODIES} half-sent bodies: memory grew by {growth:.0f} MB; answers: {statuses}", flush=True)
    return growth < 100


async def guesses(one: Runner, seconds: float) -> bool:
    """Wrong tokens as fast as they are answered, 20 at a time, from one address."""
    statuses: dict[int, int] = {}
    seconds = min(seconds, 20.0)
    ends = time.monotonic() + seconds

    async def guess(session: aiohttp.ClientSession, number: int) -> None:
        while time.monotonic() < ends:
            headers = {"Authorization": f"Bearer {number}-{time.monotonic()}"}
            url = f"http://127.0.0.1:{one.port}/api/tasks/nothing_000/pause"
            async with session.post(url, headers=headers) as answer:
                await answer.read()
                statuses[answer.status] = statuses.get(answer.status, 0) + 1

    async with aiohttp.ClientSession() as session:
        await asyncio.gather(*(guess(session, number) for number in range(20)))
    await asyncio.sleep(12.0)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _AUDITED, str(one.folder / "pg"), stdout=asyncio.subprocess.PIPE
    )
    recorded = (await process.communicate())[0].decode().strip()
    compared = statuses.get(401, 0)
    print(
        f"  {compared / seconds:.1f} guesses/s answered with 401, "
        f"{statuses.get(429, 0) / seconds:.1f}/s with 429;"
        f" recorded in the audit: {recorded}",
        flush=True,
    )
    return compared / seconds < 5


_AUDITED = """
import asyncio, sys, asyncpg
async def main():
    c = await asyncpg.connect(host=sys.argv[1] + "/data", user="postgres", database="postgres")
    rows = [dict(row) for row in await c.fetch("SELECT * FROM dozor.audit WHERE result LIKE 'denied%'")]
    counts = [int(row["result"].split()[1]) if "," in row["result"] else 1 for row in rows]
    print(sum(counts), "guesses in", len(rows), "rows")
asyncio.run(main())
"""


async def descriptors(one: Runner, seconds: float) -> bool:
    """A checker takes every descriptor there is, for as long as it lasts."""
    seconds = max(seconds, 45.0)
    before = one.log.count("\n")
    (one.folder / "take").touch()
    await asyncio.sleep(seconds)
    text = one.log
    lines = (text.count("\n") - before) * 60 / seconds
    calls = [c for c in await one.control.get("calls") if "descriptor" in str(c["params"].get("text", ""))]
    named = sum("descriptor" in line for line in text.splitlines())
    away = sum(
        "database" in line.lower() and ("away" in line or "unavailable" in line) for line in text.splitlines()
    )
    print(
        f"  out of descriptors: {lines:.0f} log lines a minute, {away} about the database, {named} about"
        f" descriptors; {len(calls)} messages in the chat about descriptors",
        flush=True,
    )
    return lines < 60 and len(calls) > 0


ATTACKS: dict[str, Callable[[Runner, float], Awaitable[bool]]] = {
    "flood": flood,
    "idle": idle,
    "bodies": bodies,
    "guesses": guesses,
    "descriptors": descriptors,
}


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("attacks", nargs="*", default=list(ATTACKS))
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--program", type=Path, default=Path.cwd())
    parser.add_argument("--clients", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.clients:
        asyncio.run(clients(options.clients, options.seconds))
        return 0
    good = [
        asyncio.run(_attack(name, options.program.absolute(), options.seconds)) for name in options.attacks
    ]
    return 0 if all(good) else 1


async def _attack(name: str, program: Path, seconds: float) -> bool:
    print(f"{name}:", flush=True)
    async with running(program, webhook=name == "bodies") as one:
        good = await ATTACKS[name](one, seconds)
        print(f"  {'held' if good else 'MISSED'}", flush=True)
        return good


def _limit(number: int = DESCRIPTORS) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard if number > DESCRIPTORS else number))


def _free_port() -> int:
    import socket

    with socket.socket() as end:
        end.bind(("127.0.0.1", 0))
        return int(end.getsockname()[1])


def _configure(folder: Path, url: str, port: int, *, webhook: bool) -> None:
    (folder / "attacked.py").write_text(CHECKERS, "utf-8")
    lines = [
        "language: en",
        f"database: {{url: embedded, data_dir: {folder / 'pg'}}}",
        f"web: {{listen: '127.0.0.1:{port}', token: '{WEB_TOKEN}'}}",
        f'telegram: {{token: "{TOKEN}", api_url: "{url}", chat: {CHAT}, admins: [{PERSON}]'
        + (', webhook: "https://dozor.example.com/telegram"}' if webhook else "}"),
        "tasks:",
        "  taker: {run: 'attacked:takes_descriptors', every: 500ms}",
    ]
    lines += [f"  uses_{number}: {{run: 'attacked:uses_database', every: 200ms}}" for number in range(10)]
    lines += [f"  nothing_{number:03}: {{run: 'attacked:nothing', every: 1s}}" for number in range(TASKS)]
    lines += [
        f"  told_{number:02}: {{run: 'attacked:fails_when_told', every: 100ms}}" for number in range(60)
    ]
    (folder / "config.yaml").write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
