"""`python -m tests.web.shots docs/images`: the pictures of the status page in the documentation."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from loguru import logger
from PIL import Image

from dozor.storage.postgres.embedded.server import start_embedded
from dozor.storage.postgres.migrate import migrate
from dozor.supervision.core.events import Pause
from dozor.supervision.core.state import State
from tests.house.sources import ROOT
from tests.waiting import until
from tests.web.browser import Tab, chromium
from tests.web.site import Site, Work, open_site

TASKS = {
    "auctions_checker": "every: 60s",
    "auctions_refunds": "every: 60s",
    "presale_checker": "every: 30s, restart_delay: 200ms, max_consecutive_failures: 5",
    "presale_delivery": "every: 60s",
    "ton_deposits": "every: 15s, restart_delay: 600s",
    "ton_rates": "every: 60s",
    "ton_withdrawals": "every: 60s",
    "ledger_audit": "cron: '*/10 * * * *'",
    "mail_queue": "every: 60s",
    "price_feed": "",
}
DESCRIPTIONS = {
    "en": {"presale_checker": "Presales paid for", "ton_deposits": "Deposits in TON"},
    "ru": {"presale_checker": "Оплаченные предзаказы", "ton_deposits": "Пополнения TON"},
}
MORE = """
web: {listen: '127.0.0.1:0', token: 0123456789abcdef0123}
timezone: Europe/Berlin
oncall:
  people: {anna: {mention: '@anna'}, boris: {mention: '@boris'}}
  rotation: {people: [anna, boris], start: '2026-01-05 10:00', shift: 7d}
"""

HISTORY_SQL = """
INSERT INTO dozor.runs (id, task, started_at, finished_at, outcome, seconds, seconds_max, error_type,
                        error_text)
SELECT $1::text || n || $2::text, $1::text, at, at,
       CASE WHEN n = ANY($4::int[]) THEN 'failed' ELSE 'succeeded' END, seconds, seconds,
       CASE WHEN n = ANY($4::int[]) THEN 'TimeoutError' END,
       CASE WHEN n = ANY($4::int[]) THEN 'no answer within 10 s' END
FROM generate_series(1, $5::int) AS n,
     LATERAL (SELECT $2::timestamptz - n * make_interval(secs => $3) AS at,
                     0.08 + 0.06 * abs(hashtext($1 || n) % 100) / 100.0 AS seconds) AS moment
ON CONFLICT DO NOTHING
"""


async def main(folder: Path) -> None:
    """A site with a bit of everything: both pages, both languages, light and dark, wide and on a phone."""
    logger.remove()
    with (
        tempfile.TemporaryDirectory(prefix="dozor-shots-") as temporary,
        start_embedded(Path(temporary) / "pg") as server,
    ):
        await migrate(server.dsn)
        for language in ("en", "ru"):
            await shoot(folder, Path(temporary), server.dsn, language)


async def shoot(folder: Path, temporary: Path, dsn: str, language: str) -> None:
    failing, timing, well = Work(), Work(), Work()
    failing.error = ConnectionError("Stripe answered 503: Service Unavailable")
    timing.error = TimeoutError("toncenter.com: no answer within 10 s")

    async def feed() -> None:
        await asyncio.Event().wait()

    checkers = {**dict.fromkeys(TASKS, well.run), "presale_checker": failing.run}
    checkers |= {"ton_deposits": timing.run, "price_feed": feed}
    about = DESCRIPTIONS[language]
    tasks = "\n".join(
        f"{name}: {{{', '.join(filter(None, ('run: m:f', more, describe(about.get(name)))))}}}"
        for name, more in TASKS.items()
    )
    async with (
        open_site(temporary, dsn, checkers, tasks=tasks, more=MORE, language=language) as site,
        chromium() as tab,
    ):
        await prepare(site)
        for name, path, width, height, scheme, phone in (
            ("status-light", "/", 1280, 1000, "light", False),
            ("status-dark", "/", 1280, 1000, "dark", False),
            ("status-phone", "/", 390, 1100, "light", True),
            ("status-phone-dark", "/", 390, 1100, "dark", True),
            ("task-light", "/task/ton_deposits", 1280, 1500, "light", False),
            ("task-dark", "/task/ton_deposits", 1280, 1500, "dark", False),
            ("task-phone", "/task/ton_deposits", 390, 1500, "light", True),
        ):
            await tab.scheme(scheme)
            await tab.size(width, height, phone=phone)
            await tab.open(site.url)
            await tab.run("sessionStorage.setItem('dozor-token', 'x')")
            await tab.open(site.url + path)
            await tab.until("document.querySelector('.bars svg')")
            if path != "/":
                await tab.until(
                    "document.querySelector('.plot svg') && document.querySelector('#timeline li')"
                )
                await tab.run("document.querySelector('.why summary')?.click()")
            await tab.until("document.getElementById('live').textContent.includes('●')")
            await picture(tab, folder / f"{name}.{language}.png")
        await tab.size(1280, 700)
        await tab.scheme("light")
        await tab.open(site.url)
        await tab.until("document.querySelector('.bars svg')")
        await site.runner.stop()
        await tab.until("!document.getElementById('stale').hidden", within=30)
        await asyncio.sleep(0.5)  # the transition to grey
        await picture(tab, folder / f"status-stale.{language}.png")


async def picture(tab: Tab, path: Path) -> None:
    """With few colours, and without the folder of this checkout, which a traceback names."""
    hide = """(root => document.querySelectorAll('pre').forEach(text => {
        text.textContent = text.textContent.replaceAll(root, '/srv/dozor'); }))"""
    await tab.run(f"{hide}({json.dumps(str(ROOT))})")
    await tab.screenshot(path)
    with Image.open(path) as image:
        image.convert("RGB").quantize(96, dither=Image.Dither.NONE).save(path, optimize=True)


def describe(text: str | None) -> str:
    return "" if text is None else f"description: {text}"


async def prepare(site: Site) -> None:
    supervisor = site.runner.supervisor
    stopped = supervisor.find("presale_checker")
    assert stopped is not None
    await until(lambda: stopped.state.state is State.STOPPED)
    supervisor.command("ledger_audit", Pause("telegram:111"))
    await until(lambda: site.runner.incident_manager.open_incidents != ())
    pool = site.runner.pools.core
    await pool.execute("DELETE FROM dozor.runs WHERE id LIKE '%-%' AND outcome = 'succeeded'")
    now = datetime.now(UTC) - timedelta(seconds=5)
    for name in TASKS:
        period = 600.0 if name == "ledger_audit" else 60.0
        failed = {"presale_checker": [1, 2, 3, 20, 47], "ton_deposits": [1, 2, 60, 61, 62, 700, 701]}.get(
            name, []
        )
        await pool.execute(HISTORY_SQL, name, now, period, failed or [33] * (name[0] == "a"), 1400)
    await site.runner.journal.flush()


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(target))
