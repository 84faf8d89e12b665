"""`dozor doctor` finds each thing that may keep alerts from arriving, with a remedy."""

from __future__ import annotations

import ast
import asyncio
import json
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from dozor.alerting.policy.oncall import Person
from dozor.cli import cli, doctoring
from dozor.cli.doctor import ABOUT
from dozor.cli.doctoring.channels import check_second_channel
from dozor.cli.doctoring.database import (
    check_files,
    check_schema,
    check_server,
    check_writing,
    version_finding,
)
from dozor.cli.doctoring.databases import check_databases
from dozor.cli.doctoring.finding import Finding, Level
from dozor.cli.doctoring.smells import check_config
from dozor.cli.doctoring.telegram import check_telegram
from dozor.config import load
from dozor.config.sections.config import TelegramConfig
from dozor.language import Language
from dozor.language.process import language_for_now
from dozor.storage.postgres.migration_sets import CORE, sets_named
from dozor.storage.postgres.pool import connect, disconnect
from tests.alerting.receiver import Receiver
from tests.bot.botapi.faults import FaultKind
from tests.bot.botapi.server import BotApi

ADMIN, GROUP, FORUM = 111, -500, -1001


@pytest.fixture
async def api() -> Any:
    api = BotApi()
    api.world.add_user(ADMIN, "Anna")
    api.world.add_chat(GROUP, "group", "On call")
    api.world.add_chat(FORUM, "supergroup", "Team", is_forum=True, topics={17: True, 18: False})

    async with api:
        yield api


def configured(api: BotApi, **more: object) -> TelegramConfig:
    values = {"token": api.token, "api_url": api.url, "chat": GROUP, "admins": [ADMIN], **more}
    return TelegramConfig.model_validate(values)


def of(findings: list[Finding], about: str) -> Finding:
    return next(one for one in findings if one.about == about)


def worst(findings: list[Finding]) -> Level:
    levels = {one.level for one in findings}
    return next(level for level in (Level.FAILED, Level.WARNING, Level.OK) if level in levels)


async def test_a_well_set_up_bot_has_nothing_to_say(api: BotApi) -> None:
    findings = await check_telegram(configured(api))
    assert worst(findings) is Level.OK, findings
    assert not api.calls_of("sendMessage"), "nothing is sent without --send"


async def test_what_telegram_calls_chats_and_members_is_said_in_the_language(api: BotApi) -> None:
    for language, chat, rights in (
        (Language.RU, "группа «On call»", "участник; "),
        (Language.EN, "group “On call”", "member; "),
    ):
        with language_for_now(language):
            findings = await check_telegram(configured(api))
        assert of(findings, "chat").text == chat
        assert of(findings, "rights").text.startswith(rights)


async def test_no_token_means_the_console(api: BotApi) -> None:
    findings = await check_telegram(TelegramConfig())
    assert [one.level for one in findings] == [Level.WARNING]


async def test_a_refused_token_is_told_and_not_shown(api: BotApi) -> None:
    [finding] = await check_telegram(configured(api, token="42:some-other-token"))
    assert finding.level is Level.FAILED
    assert "@BotFather" in finding.remedy
    assert "some-other-token" not in str(finding)


@pytest.mark.parametrize(
    "kind",
    [FaultKind.RESET, FaultKind.NONSENSE, FaultKind.NONSENSE_JSON, FaultKind.HALF_JSON, FaultKind.HALF_BODY,
     FaultKind.SERVER_ERROR],
)  # fmt: skip
async def test_whatever_stands_in_for_an_answer_is_told_as_unreachable(api: BotApi, kind: FaultKind) -> None:
    api.fail(kind, method="getMe")
    [finding] = await check_telegram(configured(api))
    assert finding.level is Level.FAILED
    assert finding.text.startswith("Telegram cannot be reached")
    assert api.token not in str(finding)


async def test_nobody_listens(api: BotApi) -> None:
    config = configured(api)
    await api.stop()
    [finding] = await check_telegram(config)
    assert "cannot connect" in finding.text


async def test_a_chat_that_is_not_there(api: BotApi) -> None:
    findings = await check_telegram(configured(api, chat=-999))
    assert of(findings, "chat").level is Level.FAILED
    assert "/whoami" in of(findings, "chat").remedy


async def test_a_person_who_never_started_the_bot(api: BotApi) -> None:
    findings = await check_telegram(configured(api, chat=777))
    assert "press Start" in of(findings, "chat").remedy


async def test_a_group_that_became_a_supergroup(api: BotApi) -> None:
    api.world.chats[GROUP].migrated_to = -100500
    finding = of(await check_telegram(configured(api)), "chat")
    assert finding.remedy == "put -100500 into telegram.chat"


async def test_a_chat_that_has_thrown_the_bot_out(api: BotApi) -> None:
    api.world.chats[GROUP].kicked = True
    assert of(await check_telegram(configured(api)), "chat").level is Level.FAILED


@pytest.mark.parametrize(("topic", "about"), [(99, "topic"), (18, "topic")])
async def test_a_topic_that_is_not_there_or_is_closed(api: BotApi, topic: int, about: str) -> None:
    findings = await check_telegram(configured(api, chat=f"{FORUM}:{topic}"))
    assert of(findings, about).level is Level.FAILED


async def test_an_open_topic_is_fine(api: BotApi) -> None:
    findings = await check_telegram(configured(api, chat=f"{FORUM}:17"))
    assert of(findings, "writing").text == "the bot may write to topic 17"


@pytest.mark.parametrize(
    ("member", "text"),
    [
        ({"status": "kicked"}, "not in the chat"),
        ({"status": "restricted", "can_send_messages": False}, "may not write"),
    ],
)
async def test_rights_that_are_lacking(api: BotApi, member: dict[str, Any], text: str) -> None:
    api.methods.table["getChatMember"] = lambda params: member
    assert text in of(await check_telegram(configured(api)), "rights").text


async def test_a_webhook_left_behind(api: BotApi) -> None:
    api.world.webhook = "https://secret-9f3.example/hook"
    finding = of(await check_telegram(configured(api)), "webhook")
    assert finding.level is Level.WARNING
    assert "secret-9f3" not in str(finding), "a webhook's address may hold a secret"


async def test_privacy_mode_off(api: BotApi) -> None:
    me = api.methods.table["getMe"]
    api.methods.table["getMe"] = lambda params: {**me(params), "can_read_all_group_messages": True}
    assert of(await check_telegram(configured(api)), "privacy mode").level is Level.WARNING


async def test_nobody_with_a_role(api: BotApi) -> None:
    assert of(await check_telegram(configured(api, admins=[])), "roles").level is Level.WARNING


async def test_an_admin_who_is_not_in_the_chat(api: BotApi) -> None:
    findings = await check_telegram(configured(api, admins=[ADMIN, 333]))
    assert any("333 has a role and is not in" in one.text for one in findings)


async def test_a_migrated_database_is_fine(database: str) -> None:
    connection = await connect(database)
    findings = [
        *await check_server(connection, needed=20),
        *await check_schema(database, connection, embedded=False),
    ]
    await disconnect(connection)
    assert not [one for one in findings if one.level is Level.FAILED]
    assert {one.about for one in findings} >= {"version", "latency", "clock", "schema", "privileges"}


async def test_pools_that_are_larger_than_the_server(database: str) -> None:
    connection = await connect(database)
    most = await connection.fetchval("SELECT current_setting('max_connections')::int")
    own = [await connect(database, application_name="dozor checkers") for _ in range(5)]
    fits = of(await check_server(connection, needed=20), "connections")
    does_not = of(await check_server(connection, needed=most + 1), "connections")
    for one in (connection, *own):
        await disconnect(one)
    assert fits.level is Level.OK
    assert does_not.level is Level.WARNING
    assert f"a runner, which takes up to {most + 1}" in does_not.text
    assert "database.pools" in does_not.remedy


async def test_a_schema_that_is_missing(empty_database: str) -> None:
    connection = await connect(empty_database)
    findings = await check_schema(empty_database, connection, embedded=False)
    await disconnect(connection)
    assert findings[0].remedy == "run `dozor migrate`"


async def test_a_user_without_rights(database: str) -> None:
    connection = await connect(database)
    await connection.execute("DROP ROLE IF EXISTS doctor_nobody")
    await connection.execute("CREATE ROLE doctor_nobody")
    await connection.execute("GRANT USAGE ON SCHEMA dozor TO doctor_nobody")
    await connection.execute("GRANT SELECT ON dozor.schema_migrations TO doctor_nobody")
    await connection.execute("SET ROLE doctor_nobody")
    findings = await check_schema(database, connection, embedded=False)
    await connection.execute("RESET ROLE")
    await connection.execute("DROP OWNED BY doctor_nobody")
    await connection.execute("DROP ROLE doctor_nobody")
    await disconnect(connection)
    assert of(findings, "privileges").level is Level.FAILED
    assert "notifications" in of(findings, "privileges").text


async def test_a_write_is_really_tried_and_taken_back(database: str) -> None:
    connection = await connect(database)
    assert (await check_writing(connection)).level is Level.OK
    assert await connection.fetchval("SELECT count(*) FROM dozor.audit") == 0
    await connection.execute("SET default_transaction_read_only = on")
    findings = await check_schema(database, connection, embedded=False)
    await disconnect(connection)
    refused = [one for one in findings if one.level is Level.FAILED]
    assert [one.about for one in refused] == ["privileges"]
    assert "read-only" in refused[0].text


def test_a_state_directory_that_cannot_be_written_to_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    path = tmp_path / "config.yaml"
    path.write_text("state_dir: file/state\ntasks: {t: {run: 'm:f'}}\n")
    path.chmod(0o600)
    [finding] = check_files(load(path, {}))
    assert finding.level is Level.FAILED
    assert "file/state: Not a directory" in finding.text
    assert "state_dir" in finding.remedy


SMELLY = """
web: {{listen: ':9464'}}
database: {{url: '{dsn}'}}
alerts: {{repeated_errors: 5}}
tasks:
  slow: {{run: 'm:f', every: 10s, timeout: 30s, max_consecutive_failures: 3}}
  endless: {{run: 'm:f', cron: '* * * * *'}}
"""


def test_smells_of_a_configuration(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(SMELLY.format(dsn="postgresql://u:hunter2@127.0.0.1:1/x"))
    texts = [one.text for one in check_config(load(path), {})]
    for part in (
        "timeout (30 s) is longer than every (10 s)",
        "stops after 3 failures, and the first alert comes at 5",
        "neither timeout nor overdue_after",
        "open to other machines",
    ):
        assert any(part in text for text in texts), part


async def test_the_command_tells_all_and_shows_no_secret(api: BotApi, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    telegram = f"telegram: {{token: '{api.token}', api_url: '{api.url}', chat: {GROUP}, admins: [{ADMIN}]}}\n"
    path.write_text(telegram + SMELLY.format(dsn="postgresql://u:hunter2@127.0.0.1:1/x"))
    result = await asyncio.to_thread(CliRunner().invoke, cli, ["doctor", "-c", str(path), "--json", "--send"])
    assert result.exit_code == 1
    findings = json.loads(result.output)
    assert {"token", "chat", "database", "test"} <= {one["about"] for one in findings}
    assert all(one["remedy"] for one in findings if one["level"] != "ok")
    assert "hunter2" not in result.output
    assert api.token.partition(":")[2] not in result.output
    assert len(api.calls_of("sendMessage")) == 1, "no runner lives, so it was sent straight"


async def test_the_second_channel_is_tried_for_each_url_alone(api: BotApi, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"

    async def doctor(*urls: str, send: bool) -> list[Finding]:
        section = f"alerts: {{second_channel: {{urls: {json.dumps(urls)}}}}}\n"
        telegram = f"telegram: {{token: '{api.token}', api_url: '{api.url}', chat: {GROUP}}}\n"
        path.write_text(telegram + (section if urls else "") + "tasks: {t: {run: 'm:f'}}\n")
        return await check_second_channel(load(path), send=send)

    async with Receiver() as good, Receiver() as bad:
        bad.status = 500
        [finding] = await doctor(good.url(), bad.url(), send=False)
        assert (finding.level, good.asked) == (Level.OK, 0), "nothing is sent without --send"
        taken, refused = await doctor(good.url(), bad.url(), send=True)
        assert (taken.level, refused.level) == (Level.OK, Level.FAILED)
        assert "urls[1] did not accept" in refused.text
        assert good.said == [("Dozor: test", "dozor doctor --send")]
        assert "s3cret" not in f"{taken}{refused}"
    [none] = await doctor(send=True)
    assert none.level is Level.WARNING
    [unknown] = await doctor("nonsense://hunter2", send=True)
    assert unknown.level is Level.FAILED
    assert "hunter2" not in str(unknown)


def test_what_findings_are_about_has_a_name_in_both_languages() -> None:
    found = {
        call.args[0].value
        for file in sorted(Path(doctoring.__path__[0]).glob("*.py"))
        for call in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Name)
        and call.func.id in ("ok", "warning", "failed")
        and isinstance(call.args[0], ast.Constant)
    }
    assert {"connections", "schema", "token"} <= found
    assert {name for name in found if "." not in str(name)} <= set(ABOUT), (
        "keys of the configuration need none"
    )


@pytest.mark.parametrize("how", ["blocked", "never started", "unknown"])
async def test_each_on_call_person_is_asked_for(api: BotApi, how: str) -> None:
    for user_id, name in ((222, "Oleg"), (333, "Vera")):
        api.world.add_user(user_id, name)
    match how:
        case "blocked":
            api.world.chats[222].blocked = True
        case "never started":
            del api.world.chats[222]
        case _:
            api.fail(FaultKind.SERVER_ERROR, method="sendChatAction", chat_id=222)
    people = (
        Person(name="Oleg", destination="222"),
        Person(name="Vera", user_id=333),
        Person(name="Team", destination=str(GROUP)),  # nobody's private chat
    )
    found = [one for one in await check_telegram(configured(api), people) if one.about == "oncall"]
    assert [one.level for one in found] == [Level.WARNING, Level.OK]
    assert "Oleg" in found[0].text
    assert ("Start" in found[0].remedy) is (how != "unknown")
    assert not api.calls_of("sendMessage")


@pytest.mark.parametrize(
    ("number", "market", "oldest"),
    [(120_017, False, "13"), (120_017, True, "15"), (130_004, False, None), (140_011, True, "15"),
     (150_000, True, None), (180_001, True, None)],
)  # fmt: skip
def test_the_marketplace_needs_a_newer_server(number: int, market: bool, oldest: str | None) -> None:
    sets = (CORE, *(sets_named(["market"]) if market else ()))
    found = version_finding("x", number, sets)
    assert (found is None) is (oldest is None)
    if found is not None:
        assert found.level is Level.FAILED
        assert f"{oldest} " in found.remedy


async def test_named_databases_are_connected_to_and_grouped(database: str, tmp_path: Path) -> None:
    silent = socket.create_server(("127.0.0.1", 0))  # connections are made by the kernel; nobody answers
    port = silent.getsockname()[1]
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = closed.getsockname()[1]
    missing = database.replace(urlsplit(database).path, "/nosuchdatabase", 1)
    urls = {
        "shop": database,
        "stock": database,
        "gone": f"postgresql://u:hunter2@127.0.0.1:{nobody}/d",
        "gone2": f"postgresql://u:hunter2@127.0.0.1:{nobody}/e",
        "nowhere": "postgresql://u:hunter2@no-such-host.invalid/d",
        "missing": missing,
        "silent": f"postgresql://u:hunter2@127.0.0.1:{port}/d",
    }
    path = tmp_path / "config.yaml"
    patience = dict.fromkeys(urls, "10s") | {"silent": "1s"}
    listed = "\n".join(
        f"  {name}: {{url: '{url}', connect_timeout: {patience[name]}}}" for name, url in urls.items()
    )
    path.write_text(f"databases:\n{listed}\ntasks: {{a: {{run: 'm:f', every: 1h}}}}\n")
    try:
        with language_for_now(Language.EN):
            findings = await check_databases(load(path))
    finally:
        silent.close()
    well, *bad = findings
    assert (well.level, well.text) == (Level.OK, "connected: shop, stock")
    assert {one.level for one in bad} == {Level.FAILED}
    assert len(bad) == 4, bad
    by_name = {name: one.text for one in bad for name in urls if f"{name} (" in one.text}
    assert by_name["gone"] == by_name["gone2"]
    assert "nobody listens" in by_name["gone"]
    assert "no host has this name" in by_name["nowhere"]
    assert "databases.nowhere.url" in by_name["nowhere"]
    assert "no such database" in by_name["missing"]
    assert "no answer within 1 s" in by_name["silent"]
    assert "hunter2" not in str(findings)


async def test_a_wrong_password_of_a_named_database_is_named(tmp_path: Path) -> None:
    """A server that says so at once, as `pg_hba.conf` with passwords would."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        fields = b'SFATAL\0VFATAL\0C28P01\0Mpassword authentication failed for user "u"\0\0'
        length = int.from_bytes(await reader.readexactly(4), "big")
        body = await reader.readexactly(length - 4)
        if body == (80877103).to_bytes(4, "big"):  # a request for TLS
            writer.write(b"N")
            length = int.from_bytes(await reader.readexactly(4), "big")
            await reader.readexactly(length - 4)
        writer.write(b"E" + (len(fields) + 4).to_bytes(4, "big") + fields)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        path = tmp_path / "config.yaml"
        path.write_text(
            f"databases: {{shop: 'postgresql://u:hunter2@127.0.0.1:{port}/d'}}\n"
            "tasks: {a: {run: 'm:f', every: 1h}}\n"
        )
        with language_for_now(Language.EN):
            [finding] = await check_databases(load(path))
    assert "wrong user or password" in finding.text
    assert "databases.shop.url" in finding.text
    assert "hunter2" not in str(finding)
