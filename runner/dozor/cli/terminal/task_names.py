"""Which task a word of the command line means: a name, or an unambiguous part of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import assert_never

from dozor.control.task_names import Ambiguous, Found, NotFound, resolve
from dozor.errors import CommandRefusedError
from dozor.language import msg


def the_task(word: str, names: Sequence[str]) -> str:
    """The name in `names` that `word` means, as in the chat.

    Raises CommandRefusedError, with the names that it may mean, if there is none or more than one.
    """
    meant = resolve(word, names)
    match meant:
        case Found(name):
            return name
        case Ambiguous(several):
            raise CommandRefusedError(msg("cli-several-tasks", name=word, names=", ".join(several)))
        case NotFound(()):
            raise CommandRefusedError(msg("cli-no-task", name=word))
        case NotFound(alike):
            raise CommandRefusedError(msg("cli-no-task-but", name=word, names=", ".join(alike)))
        case _:
            assert_never(meant)


def the_tasks(words: Sequence[str], names: Sequence[str]) -> list[str]:
    """Each once, in the order of `words`. Raises as `the_task`."""
    return list(dict.fromkeys(the_task(word, names) for word in words))
