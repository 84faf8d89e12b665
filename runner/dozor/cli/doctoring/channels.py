"""The fallback channel: its URLs are valid, and with `--send` a test message is accepted."""

from __future__ import annotations

from dozor.alerting.fallback.apprise import AppriseChannels
from dozor.cli.doctoring.finding import Finding, failed, ok, warning
from dozor.config import Config
from dozor.config.imports.channels import check_channels
from dozor.config.source.problems import dotted
from dozor.language import msg

ABOUT = "second channel"


async def check_second_channel(config: Config, *, send: bool) -> list[Finding]:
    """Whether Apprise accepts the URLs; `send`: a test message to each."""
    channel = config.alerts.second_channel
    if channel is None or not channel.urls:
        if config.telegram.token is None:
            return []
        return [
            warning(
                ABOUT,
                msg("doctor-no-channel"),
                msg("doctor-no-channel-remedy"),
            )
        ]
    problems = list(check_channels(config))
    if problems:
        return [
            failed(ABOUT, f"{dotted(one.place)}: {one.text}", msg("doctor-correct-it")) for one in problems
        ]
    if not send:
        return [ok(ABOUT, msg("doctor-channels", count=len(channel.urls)))]
    return [
        await _try(url.get_secret_value(), f"alerts.second_channel.urls[{position}]")
        for position, url in enumerate(channel.urls)
    ]


async def _try(url: str, name: str) -> Finding:
    if await AppriseChannels([url]).send(msg("doctor-test-title"), "dozor doctor --send"):
        return ok(ABOUT, msg("doctor-channel-took", name=name))
    return failed(ABOUT, msg("doctor-channel-refused", name=name), msg("doctor-channel-remedy"))
