"""Whether the fallback channel can be used: checked with the checkers' imports, before anything starts."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from dozor.config.sections.config import Config
from dozor.config.source.problems import Problem
from dozor.extras import Extra, install_command, is_installed
from dozor.language import msg

_PLACE = ("alerts", "second_channel")


def check_channels(config: Config) -> Iterator[Problem]:
    """Problems of URLs that Apprise cannot use. None is quoted: URLs hold secrets. Loads Apprise (0.4 s)."""
    channel = config.alerts.second_channel
    if channel is None or not channel.urls:
        return
    if not is_installed(Extra.CHANNELS):
        yield Problem(msg("config-needs-apprise", command=install_command(Extra.CHANNELS)), _PLACE)
        return
    import apprise

    # It would repeat what it cannot read.
    log = logging.getLogger("apprise")
    level = log.level
    log.setLevel(logging.CRITICAL + 1)
    try:
        for position, url in enumerate(channel.urls):
            if not apprise.Apprise().add(url.get_secret_value()):
                yield Problem(
                    msg("config-apprise-unknown"),
                    (*_PLACE, "urls", position),
                )
    finally:
        log.setLevel(level)
