"""Names of arguments whose values are secret."""

from __future__ import annotations

import re

SECRET_NAME = re.compile(
    r"token|passw(or)?d|passphrase|secret|key|pwd|dsn|mnemonic|seed|credential|cookie|authorization|private"
    r"|(?<![a-z])(pass|auth|pin)(s|code)?(?![a-z])"  # not "author", "shipping", "passenger"
    r"|pass$|(?-i:(?<=[a-z])(Pass|Auth|Pin)(?![a-z]))",  # "dbpass", "userPin"
    re.IGNORECASE,
)
