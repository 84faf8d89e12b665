"""The hierarchy of errors that Dozor raises on purpose.

Each message says what is wrong and what would be right, in words a person on
call can act on; the command line prints it as one line, without a traceback.
"""

from __future__ import annotations

import errno


class DozorError(Exception):
    """The root. The message is for a person."""


class ConfigError(DozorError):
    """The configuration is not usable. `problems` holds every one of them, one line each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class StorageError(DozorError):
    """PostgreSQL cannot be used as it is; the message names the remedy."""


class DatabaseUnavailableError(StorageError):
    """PostgreSQL does not answer (refused, timed out, restarting). Trying again later makes sense."""


class OutOfResourcesError(DatabaseUnavailableError):
    """This process or the system lacks descriptors or memory for a connection. The server is well."""


class PoolExhaustedError(StorageError, TimeoutError):
    """Runs of checkers hold every connection of `ctx.db`; the message names them. The server is well."""


class UnknownDatabaseError(StorageError, KeyError):
    """`ctx.databases` has no database of that name; the message names those that there are."""

    __str__ = Exception.__str__  # KeyError shows its message in quotes


class SchemaError(StorageError):
    """The schema is missing, older or newer than this program, or an applied migration was edited."""


class RunnerBusyError(StorageError):
    """Another runner works on this database; the message says which."""


class SupersededError(RunnerBusyError):
    """Another replica of the cluster leads by now: this one may write nothing of its period any more."""


class LeaseLostError(DozorError):
    """The lease of a cluster was lost, and runs of this process did not end in time."""


class CommandRefusedError(DozorError):
    """A command cannot be carried out: unknown task, wrong state, nobody to carry it out."""


class RunHungError(DozorError):
    """A run cannot be ended, and its task asks for the process to end with it (`on_hang: exit`)."""


class SetupError(DozorError):
    """A `setup` could not be opened, so the run did not begin. What it raised is the cause."""


class NeverRanError(DozorError):
    """A checker returned something that holds its code and was never executed, such as a generator."""


class Fatal(DozorError):  # noqa: N818 -- a public name of the library, raised by checkers
    """Raised by a checker for an error that a further attempt cannot resolve: its task stops at once."""


class Superseded(DozorError):  # noqa: N818 -- a public name of the library, caught by checkers
    """The run of this checker, or the leader that runs it, was overtaken: nothing of it may be written."""


class TelegramError(DozorError):
    """Telegram cannot be used as it is; the message says what to do."""


class TokenRefusedError(TelegramError):
    """Telegram refuses this token, or it is not one."""


class PollerConflictError(TelegramError):
    """Another program takes this bot's updates: a poller, or a webhook."""


def out_of_resources(error: BaseException) -> bool:
    """Does this process, or the system, lack descriptors or memory? Then no other side is the cause.

    EMFILE, ENFILE, ENOMEM and ENOBUFS are OSErrors, as a refused connection is: only the number differs.
    """
    if isinstance(error, MemoryError | OutOfResourcesError):
        return True
    return isinstance(error, OSError) and error.errno in _RESOURCES


def root_cause(error: BaseException) -> BaseException:
    """The first error inside exception groups: "unhandled errors in a TaskGroup" says nothing to act on."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error


_RESOURCES = frozenset((errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.ENOBUFS))
