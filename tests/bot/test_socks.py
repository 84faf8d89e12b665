"""Through a SOCKS5 proxy: messages, polling, the alarm's thread; and whatever the proxy does instead."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiogram import Bot
from aiogram.exceptions import TelegramNetworkError
from aiogram.methods import GetMe

from dozor.alerting.delivery.transport import Delivered, Unavailable, Unknown
from dozor.alerting.fallback import emergency as alarm_module
from dozor.alerting.fallback.emergency import EmergencySender
from dozor.alerting.model.message import Message, Span
from dozor.cli.doctoring.finding import Level
from dozor.cli.doctoring.telegram import check_telegram
from dozor.config.sections.config import TelegramConfig
from dozor.language import Translator
from dozor.storage.postgres.pool import Pool
from dozor.supervision.telemetry.observer import Trouble, TroubleKind
from dozor_bot.telegram import session as session_module
from dozor_bot.telegram.session import NoAnswerError, NotSentError, Session
from dozor_bot.telegram.transport import TelegramTransport
from tests.bot.botapi.server import BotApi
from tests.bot.conftest import ADMIN, GROUP, Running, build, on_the_loop
from tests.bot.socks import IPV4, NAME, SocksFault, SocksProxy, closed_port

USER, PASSWORD = "on-call", "p@ss:W0rd/42"
WRITTEN = "on-call:p%40ss%3AW0rd%2F42"
ALERT = Message(spans=(Span("task: 3 errors"),))


@on_the_loop()
async def proxy(api: BotApi) -> AsyncIterator[SocksProxy]:
    """It alone knows where telegram.invalid is."""
    port = int(api.url.rpartition(":")[2])
    async with SocksProxy({USER: PASSWORD}, {"telegram.invalid": ("127.0.0.1", port)}) as proxy:
        yield proxy


@on_the_loop()
async def to_group(api: BotApi, proxy: SocksProxy) -> AsyncIterator[TelegramTransport]:
    session = Session("http://telegram.invalid", proxy.url(WRITTEN))
    yield TelegramTransport(Bot(api.token, session=session), GROUP, None, Translator("ru"))
    await session.close()


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "SOCKS5"])
async def test_the_proxy_resolves_the_name(api: BotApi, proxy: SocksProxy, scheme: str) -> None:
    session = Session("http://telegram.invalid", proxy.url(WRITTEN, scheme))
    transport = TelegramTransport(Bot(api.token, session=session), GROUP, None, Translator("ru"))
    assert isinstance(await transport.send(ALERT), Delivered)
    assert isinstance(await transport.send(ALERT), Delivered)
    await session.close()
    assert proxy.asked == [(NAME, "telegram.invalid", 80)], "one tunnel for both"


async def test_an_address_is_asked_for_as_one_and_nobody_in_particular_is_let_in(api: BotApi) -> None:
    async with SocksProxy() as proxy:
        session = Session(api.url, proxy.url())
        bot = Bot(api.token, session=session)
        assert (await bot(GetMe())).id
        await session.close()
    assert [asked[:2] for asked in proxy.asked] == [(IPV4, "127.0.0.1")]


FAULTS = [
    (SocksFault.REFUSED_BY_RULES, "not allowed by ruleset"),
    (SocksFault.HOST_UNREACHABLE, "Host unreachable"),
    (SocksFault.CONNECTION_REFUSED, "Connection refused by destination"),
    (SocksFault.UNHEARD_OF, "Invalid reply code"),
    (SocksFault.NO_METHOD, "No acceptable authentication"),
    (SocksFault.HTTP, "Unexpected SOCKS version"),
    (SocksFault.CLOSE, "closed"),
    (SocksFault.HALF_REPLY, "closed"),
    (SocksFault.NONSENSE_NAME, "an answer that is not SOCKS"),
    (SocksFault.HANG, "timed out"),
    (SocksFault.HANG_AT_CONNECT, "timed out"),
]


@pytest.mark.parametrize(("fault", "said"), FAULTS, ids=[fault.name for fault, _ in FAULTS])
async def test_without_a_tunnel_it_is_certainly_not_sent(
    api: BotApi,
    proxy: SocksProxy,
    to_group: TelegramTransport,
    monkeypatch: pytest.MonkeyPatch,
    fault: SocksFault,
    said: str,
) -> None:
    monkeypatch.setattr(session_module, "CONNECT_TIMEOUT", 0.3)
    proxy.fault = fault
    outcome = await to_group.send(ALERT)
    assert isinstance(outcome, Unavailable), outcome
    assert said in outcome.reason
    assert "the SOCKS proxy" in outcome.reason
    assert api.world.sent(GROUP) == []
    proxy.fault = None
    assert isinstance(await to_group.send(ALERT), Delivered)


async def test_a_tunnel_cut_after_sending_leaves_the_outcome_unknown(
    proxy: SocksProxy, to_group: TelegramTransport
) -> None:
    proxy.fault = SocksFault.CUT_LATER
    assert isinstance(await to_group.send(ALERT), Unknown)


async def _failure(session: Session) -> TelegramNetworkError:
    try:
        with pytest.raises(TelegramNetworkError) as caught:
            await Bot("1:x", session=session)(GetMe())
    finally:
        await session.close()
    return caught.value


@pytest.mark.parametrize("case", ["wrong password", "no password", "nobody listens", "no such proxy"])
async def test_what_keeps_us_from_the_proxy_is_said_without_the_password(
    proxy: SocksProxy, case: str
) -> None:
    urls = {
        "wrong password": proxy.url("on-call:S3cret-but-wrong"),
        "no password": proxy.url(),
        "nobody listens": f"socks5://on-call:S3cret-but-wrong@127.0.0.1:{closed_port()}",
        "no such proxy": "socks5://on-call:S3cret-but-wrong@no-such-host.invalid",
    }
    said = {
        "wrong password": "authentication failure",
        "no password": "No acceptable authentication",
        "nobody listens": "Couldn't connect to proxy 127.0.0.1",
        "no such proxy": "no-such-host.invalid:1080",
    }
    error: BaseException | None = await _failure(Session("http://telegram.invalid", urls[case]))
    assert isinstance(error, NotSentError)
    assert said[case] in str(error)
    seen = ""
    while error is not None:
        seen += f"{error!r} {error}"
        error = error.__cause__ or error.__context__
    assert "S3cret" not in seen
    assert WRITTEN not in seen


async def test_an_answer_in_plain_text_where_encryption_is_due(api: BotApi, proxy: SocksProxy) -> None:
    """The tunnel stands, TLS does not: still nothing was sent."""
    error = await _failure(Session("https://telegram.invalid", proxy.url(WRITTEN)))
    assert isinstance(error, NotSentError)
    assert "no encrypted connection" in str(error)
    assert api.calls == []


async def test_updates_are_polled_for_through_it(api: BotApi, proxy: SocksProxy, pool: Pool) -> None:
    running = Running(build(api, pool, proxy=proxy.url(WRITTEN)))
    await api.wait_until(lambda: bool(api.calls_of("getUpdates")))
    api.say(ADMIN, "/whoami")
    await api.wait_until(lambda: bool(api.world.sent(ADMIN)), what="an answer")
    await running.close()
    assert {asked[1] for asked in proxy.asked} == {"127.0.0.1"}


async def test_a_long_poll_whose_tunnel_is_cut_is_begun_anew(
    api: BotApi, proxy: SocksProxy, pool: Pool
) -> None:
    running = Running(build(api, pool, proxy=proxy.url(WRITTEN)))
    await api.wait_until(lambda: len(api.calls_of("getUpdates")) > 1, what="a long poll")
    proxy.cut()
    api.say(ADMIN, "/whoami")
    await api.wait_until(lambda: bool(api.world.sent(ADMIN)), what="an answer", timeout=20)
    await running.close()


async def test_no_answer_through_a_standing_tunnel_is_no_answer(
    api: BotApi, proxy: SocksProxy, to_group: TelegramTransport
) -> None:
    session = Session("http://telegram.invalid", proxy.url(WRITTEN))
    proxy.fault = SocksFault.CUT_LATER
    assert isinstance(await _failure(session), NoAnswerError)


# -- the doctor


def _config(api: BotApi, url: str, **more: object) -> TelegramConfig:
    values = {"token": api.token, "api_url": api.url, "chat": GROUP, "admins": [ADMIN], "proxy": url, **more}
    return TelegramConfig.model_validate(values)


async def test_the_doctor_goes_the_same_way(api: BotApi, proxy: SocksProxy) -> None:
    config = _config(api, proxy.url(WRITTEN), api_url="http://telegram.invalid")
    findings = await check_telegram(config)
    assert {one.level for one in findings} == {Level.OK}, findings
    [refused] = await check_telegram(_config(api, proxy.url("on-call:S3cret-but-wrong")))
    assert refused.level is Level.FAILED
    assert "authentication failure" in refused.text
    assert "telegram.proxy" in refused.remedy
    assert "S3cret" not in str(refused)
    proxy.fault = SocksFault.HTTP
    [foreign] = await check_telegram(_config(api, proxy.url(WRITTEN)))
    assert "Unexpected SOCKS version" in foreign.text


# -- the alarm


TROUBLE = Trouble(
    kind=TroubleKind.BLOCKED_LOOP, subject="guilty", task="guilty", seconds=1.2, chain=("guilty.py:3",)
)


async def test_the_alarm_goes_through_it(api: BotApi, proxy: SocksProxy) -> None:
    alarm = EmergencySender(
        _config(api, proxy.url(WRITTEN), api_url="http://telegram.invalid"), Translator("en"), str
    )
    assert await asyncio.to_thread(alarm.send, TROUBLE)
    [message] = api.world.sent(GROUP)
    assert "blocked for 1 s" in message.text
    assert proxy.asked == [(NAME, "telegram.invalid", 80)]


@pytest.mark.parametrize(
    "fault", [*(fault for fault, _ in FAULTS), SocksFault.CUT_LATER, "wrong password", "encrypted"]
)
async def test_an_alarm_that_does_not_get_through_is_on_the_console(
    api: BotApi,
    proxy: SocksProxy,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fault: SocksFault | str,
) -> None:
    for name, seconds in (("TIMEOUT", 0.2), ("PAUSE", 0.01)):
        monkeypatch.setattr(alarm_module, name, seconds)
    proxy.fault = fault if isinstance(fault, SocksFault) else None
    url = proxy.url("on-call:S3cret-but-wrong" if fault == "wrong password" else WRITTEN)
    scheme = "https" if fault == "encrypted" else "http"
    alarm = EmergencySender(_config(api, url, api_url=f"{scheme}://telegram.invalid"), Translator("en"), str)
    assert await asyncio.to_thread(alarm.send, TROUBLE)
    said = capsys.readouterr().err
    assert "blocked for 1 s by guilty" in said
    assert alarm.sent == 0
    assert "S3cret" not in said
    assert api.world.sent(GROUP) == []
