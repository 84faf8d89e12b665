"""No secret in the log at any level, in messages, in the database, or in the process list."""

from __future__ import annotations

from urllib.parse import quote

import psutil
import pytest

from dozor.storage.postgres.pool import Pool, connect, disconnect
from tests.bot.botapi.faults import FaultKind
from tests.bot.botapi.server import BotApi
from tests.bot.executor import until_true
from tests.bot.socks import SocksFault, SocksProxy
from tests.server import PostgresControl
from tests.system.stage import QUICK, Stage
from tests.system.telegram import TOKEN, chat_has, section, texts
from tests.waiting import until

PASSWORD = "p@ss/Word: 42%"
PROXY_PASSWORD = "s0cks: Pr@xy/7"
API_KEY = "toncenter-9f8e7d6c5b4a"
CHECKER = f"""
import asyncpg, os, urllib.request

TOKEN = {TOKEN!r}

async def leak_token(ctx):
    ctx.log.info("talking to https://api.telegram.org/bot{{}}/getMe", TOKEN)
    raise ConnectionError("cannot reach https://api.telegram.org/bot" + TOKEN + "/getMe")

async def leak_dsn(ctx):
    await asyncpg.connect(os.environ["MONEY_URL"], timeout=2)

async def leak_chain(ctx, api_key):
    try:
        raise KeyError(api_key)
    except KeyError as error:
        raise RuntimeError("headers: {{'X-API-Key': '%s'}}" % api_key) from error

async def leak_alert(ctx):
    ctx.alert("token " + TOKEN + " leaked", "info")
"""
EVERYTHING_SQL = """
SELECT string_agg(t::text, E'\\n') FROM (
    SELECT to_jsonb(x)::text AS t FROM dozor.tasks x UNION ALL SELECT to_jsonb(x)::text FROM dozor.runs x
    UNION ALL SELECT to_jsonb(x)::text FROM dozor.incidents x
    UNION ALL SELECT to_jsonb(x)::text FROM dozor.notifications x
    UNION ALL SELECT to_jsonb(x)::text FROM dozor.commands x) all_rows
"""


def _forms(secret: str) -> set[str]:
    return {secret, quote(secret, safe=""), quote(secret), repr(secret)[1:-1]}


def _clean(text: str, *secrets: str) -> None:
    for secret in secrets:
        for form in _forms(secret):
            at = text.find(form)
            assert at < 0, f"a secret stands in: …{text[max(0, at - 300) : at + 100]}…"


async def _with_password(control: PostgresControl) -> str:
    connection = await connect(control.dsn)
    quoted = PASSWORD.replace("'", "''")
    await connection.execute(f"CREATE ROLE money LOGIN SUPERUSER PASSWORD '{quoted}'")
    await disconnect(connection)
    control.require_passwords()
    return control.dsn.replace("postgres@/", f"money:{quote(PASSWORD, safe='')}@/")


async def test_no_secret_anywhere_through_successes_failures_and_outages(
    stage: Stage, telegram: BotApi, postgres_control: PostgresControl
) -> None:
    async with SocksProxy({"dozor": PROXY_PASSWORD}) as proxy:
        await _live_through_it(stage, telegram, postgres_control, proxy)


async def _live_through_it(
    stage: Stage, telegram: BotApi, postgres_control: PostgresControl, proxy: SocksProxy
) -> None:
    url = await _with_password(postgres_control)
    (stage.folder / "leaky.py").write_text(CHECKER)
    names = ("leak_token", "leak_dsn", "leak_chain", "leak_alert")
    tasks = {name: {**QUICK, "run": f"leaky:{name}", "every": "300ms"} for name in names}
    tasks["leak_chain"]["args"] = {"api_key": API_KEY}
    tasks["well"] = {**QUICK, "run": "scripted:use_database"}
    stage.write(
        tasks,
        url="${DATABASE_URL}",
        telegram=section(telegram, token="${BOT_TOKEN}", proxy="${PROXY}"),
        alerts={"repeated_errors": 5},  # as many messages as are told one by one
    )
    environment = {
        "DATABASE_URL": url,
        "BOT_TOKEN": TOKEN,
        "PROXY": proxy.url(f"dozor:{quote(PROXY_PASSWORD, safe='')}"),
        "MONEY_URL": f"postgresql://money:{quote(PASSWORD, safe='')}@127.0.0.1:1/money",
    }
    process = await stage.watch("--log-level", "DEBUG", env=environment)
    await chat_has(telegram, "🛑 leak_token", "🛑 leak_dsn", "🛑 leak_chain", "ℹ️ leak_alert")
    # Refusals and dead connections of Telegram.
    for kind in (FaultKind.UNAUTHORIZED, FaultKind.RESET, FaultKind.SERVER_ERROR, FaultKind.NONSENSE):
        telegram.fail(kind, method="getUpdates")
    telegram.notify()
    # The proxy does not know its own users any more, then is no proxy at all.
    users, proxy.users = proxy.users, {"dozor": "another"}
    proxy.cut()
    await process.says("authentication failure")
    proxy.fault = SocksFault.HTTP
    doctor = await stage.cli("doctor", env=environment)
    assert "Unexpected SOCKS version" in doctor.text
    proxy.users, proxy.fault = users, None
    await telegram.stop()
    await telegram.start()
    # The database refuses connections for a while.
    postgres_control.stop()
    await process.says("База данных недоступна")
    postgres_control.start()
    await process.says("База данных снова доступна")
    arguments = " ".join(psutil.Process(process.pid).cmdline())
    assert "dozor" in arguments
    assert (await stage.cli("status", env=environment)).code == 1
    history = await stage.cli("history", "leak_dsn", env=environment)
    incidents = await stage.cli("incidents", env=environment)
    assert await process.stop() == 0

    connection = await connect(postgres_control.dsn)
    rows = await connection.fetchval(EVERYTHING_SQL)
    await disconnect(connection)
    shown = history.text + incidents.text + doctor.text
    for text in (process.text, arguments, rows, shown, *texts(telegram)):
        _clean(text, TOKEN, TOKEN.partition(":")[2], PASSWORD, PROXY_PASSWORD, API_KEY)
    # It was said, and only the secret was taken out.
    assert "***" in process.text
    assert "cannot reach https://api.telegram.org/bot" in process.text
    assert "X-API-Key" in process.text
    assert "DEBUG" in process.text


async def test_no_password_when_the_database_refuses(stage: Stage, postgres_control: PostgresControl) -> None:
    right = await _with_password(postgres_control)
    wrong = PASSWORD + "-wrong"
    url = right.replace(quote(PASSWORD, safe=""), quote(wrong, safe=""))
    stage.write({"well": QUICK}, url=url)
    for words in (("run", "--log-level", "DEBUG"), ("status",), ("migrate",)):
        answer = await stage.cli(*words)
        assert answer.code == 1
        assert "неверный пользователь или пароль" in answer.text
        assert "Traceback" not in answer.text
        _clean(answer.text, wrong, PASSWORD)


@pytest.mark.parametrize("url", ["postgresql://money:p@ss/w#rd@host/db", "mysql://money:Secr3tWord@host/db"])
async def test_no_password_when_the_address_itself_is_wrong(stage: Stage, url: str) -> None:
    stage.write({"well": QUICK}, url=url)
    for command in ("check", "run", "status"):
        answer = await stage.cli(command)
        assert answer.code in (1, 2), answer.text
        assert "Traceback" not in answer.text
        for secret in ("p@ss/w#rd", "ss/w#rd", "Secr3tWord"):
            assert secret not in answer.text


async def test_secrets_of_the_environment_stay_out_of_the_traceback_of_a_broken_start(
    stage: Stage, database: str, pool: Pool
) -> None:
    """loguru's values of variables are off: a failing checker's locals are its own business."""
    (stage.folder / "local.py").write_text(
        "async def check(ctx):\n    password = 'Hunter2-in-a-local'\n    raise ValueError(len(password))\n"
    )
    stage.write({"local": {**QUICK, "run": "local:check"}}, url=database)
    process = await stage.watch("--log-level", "DEBUG")
    await until(lambda: "(попытка 2/5)" in process.text, within=30)
    await until_true(pool, "SELECT count(*) > 1 FROM dozor.runs")
    # The line of source may be quoted, the value of the variable may not.
    assert process.text.count("Hunter2-in-a-local") == 0
    stored = await pool.fetchval("SELECT string_agg(traceback, '') FROM dozor.runs")
    assert "Hunter2-in-a-local" not in stored


SEES = """
import json, os, pathlib

def look(**args):
    here = pathlib.Path(__file__).parent
    seen = {"environment": dict(os.environ)}
    seen["process"] = pathlib.Path("/proc/self/environ").read_bytes().decode()
    seen["command"] = pathlib.Path("/proc/self/cmdline").read_bytes().decode()
    (here / "seen.new").write_text(json.dumps(seen))
    (here / "seen.new").rename(here / "seen")

async def nothing(**args):
    ...
"""


async def test_a_child_process_gets_no_secret_that_it_was_not_given(stage: Stage, database: str) -> None:
    (stage.folder / "sees.py").write_text(SEES)
    secrets = {
        "BOT_TOKEN": TOKEN,
        "PAGE_TOKEN": "page-0123456789abcdef",
        "BEAT": "https://beat.example.com/5f6e7d8c9b0a",
        "SHOP": "https://user:sh0p-pass@127.0.0.1:1/",
        "OTHERS_KEY": "others-9f8e7d6c5b4a",
    }
    environment = {**secrets, "DATABASE_URL": database, "GIVEN_KEY": "given-1a2b3c4d", "PLAIN": "plain-value"}
    stage.write(
        {
            "sees": {**QUICK, "run": "sees:look", "isolation": "process", "env": ["GIVEN_KEY"],
                     "args": {"api_key": "${GIVEN_KEY}", "mode": "${PLAIN}"}},
            "other": {**QUICK, "run": "sees:nothing", "args": {"clients": [{"api_key": "${OTHERS_KEY}"}]}},
        },
        url="${DATABASE_URL}",
        web={"listen": None, "token": "${PAGE_TOKEN}"},
        alerts={"heartbeat": {"url": "${BEAT}"}},
        dependencies={"shop": {"http": "${SHOP}"}},
    )  # fmt: skip
    await stage.watch(env=environment)
    await until((stage.folder / "seen").exists, within=60)
    seen = (stage.folder / "seen").read_text()
    for name, value in (*secrets.items(), ("DATABASE_URL", database)):
        assert value not in seen, f"the child has ${name}"
    assert "given-1a2b3c4d" in seen
    assert "plain-value" in seen
