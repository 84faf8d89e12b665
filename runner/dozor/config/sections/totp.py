"""One-time codes for chosen commands of the bot."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, SecretStr, model_validator

from dozor.config.sections.base import Kind, Section, UserId
from dozor.config.values import fields
from dozor.language import msg

MAKE = 'python -c "import base64, os; print(base64.b32encode(os.urandom(20)).decode())"'
COMMANDS = ("restart", "pause", "resume", "run")


def _secret(value: object) -> object:
    """Base32, as authenticator apps take it."""
    text = value.get_secret_value() if isinstance(value, SecretStr) else value
    if not isinstance(text, str):
        raise ValueError(msg("config-totp-secret", make=MAKE))
    plain = text.replace(" ", "").upper()
    try:
        raw = base64.b32decode(plain + "=" * (-len(plain) % 8))
    except binascii.Error:
        raise ValueError(msg("config-totp-alphabet")) from None
    if len(raw) < 14:  # what pyotp demands: 112 bits, RFC 4226
        raise ValueError(msg("config-totp-short", make=MAKE))
    return SecretStr(plain)


def _commands(value: object) -> object:
    if isinstance(value, str):
        value = [value]
    for one in value if isinstance(value, list | tuple) else ():
        if one not in COMMANDS:
            hint = fields.nearest(str(one), COMMANDS) or msg(
                "config-totp-commands", commands=", ".join(COMMANDS)
            )
            raise ValueError(msg("config-totp-unknown", name=one, hint=hint))
    return value


class TotpConfig(Section):
    """One-time codes (TOTP) for chosen commands. Needs the extra `totp`: `pip install 'dozor[totp]'`."""

    commands: Annotated[
        tuple[str, ...], BeforeValidator(_commands), Kind("list of `restart`, `pause`, `resume`, `run`")
    ] = ("restart", "pause")
    """What takes a code."""

    secrets: Annotated[
        dict[UserId, Annotated[SecretStr, BeforeValidator(_secret)]],
        Kind("mapping of user ids to base32 secrets"),
    ] = Field(default_factory=dict)
    """The secret of each person, as their authenticator app has it. Without one they cannot do it."""

    @model_validator(mode="after")
    def _usable(self) -> Self:
        if not self.secrets:
            raise ValueError(msg("config-totp-nobody"))
        return self
