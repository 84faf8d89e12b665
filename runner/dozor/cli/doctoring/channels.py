"""The second channel: only what was tried once can be relied on at night."""

from __future__ import annotations

from dozor.alerting.fallback.apprise import Channels
from dozor.cli.doctoring.finding import Finding, failed, ok, warning
from dozor.config import Config
from dozor.config.channels import check_channels
from dozor.config.problems import dotted

ABOUT = "second channel"


async def check_second_channel(config: Config, *, send: bool) -> list[Finding]:
    """Whether Apprise knows the URLs; `send`: a test message to each."""
    channel = config.alerts.second_channel
    if channel is None or not channel.urls:
        if config.telegram.token is None:
            return []
        return [
            warning(
                ABOUT,
                "there is none: while Telegram does not answer, nobody is told",
                "name an e-mail, an ntfy topic or a webhook in alerts.second_channel",
            )
        ]
    problems = list(check_channels(config))
    if problems:
        return [failed(ABOUT, f"{dotted(one.place)}: {one.text}", "correct it") for one in problems]
    if not send:
        return [ok(ABOUT, f"{len(channel.urls)} named; --send tries each")]
    return [
        await _try(url.get_secret_value(), f"alerts.second_channel.urls[{position}]")
        for position, url in enumerate(channel.urls)
    ]


async def _try(url: str, name: str) -> Finding:
    if await Channels([url]).send("Dozor: test", "dozor doctor --send"):
        return ok(ABOUT, f"{name} took a test message; go and look")
    return failed(ABOUT, f"{name} did not take a test message", "see the log above; correct the URL")
