"""Extras that a configuration needs: asked for with the checkers' imports, before anything starts."""

from __future__ import annotations

from collections.abc import Iterator

from dozor.config.sections.config import Config
from dozor.config.source.problems import Problem
from dozor.extras import Extra, install_command, is_installed
from dozor.language import msg


def check_extras(config: Config) -> Iterator[Problem]:
    """A problem for each section whose extra is not installed; the second channel has its own check."""
    if config.database.url is None and not is_installed(Extra.EMBEDDED):
        command = install_command(Extra.EMBEDDED)
        yield Problem(msg("config-needs-postgres", command=command), ("database", "url"))
    if config.cluster.enabled and not is_installed(Extra.CLUSTER):
        yield Problem(
            msg("config-needs-pgqueuer", command=install_command(Extra.CLUSTER)), ("cluster", "enabled")
        )
    if config.telegram.totp is not None and not is_installed(Extra.TOTP):
        command = install_command(Extra.TOTP)
        yield Problem(msg("config-needs-pyotp", command=command), ("telegram", "totp"))
