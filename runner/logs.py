"""The log: loguru, one sink, and one border where secrets are taken out."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, TextIO

from loguru import logger

from runner.redaction import Redactor

if TYPE_CHECKING:
    from loguru import Message

FORMAT = "<green>{time:YYYY-MM-DD HH:mm:ss.SSS}</green> <level>{level: <8}</level> <level>{message}</level>"


def configure(redactor: Redactor, *, level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send everything to `stream` (standard error) through `redactor`, the standard library's logging included.

    Tracebacks never show the values of variables.
    """
    target = stream or sys.stderr
    logger.remove()
    logger.add(
        _through(redactor, target),
        level=level,
        format=FORMAT,
        colorize=target.isatty(),
        diagnose=False,
        backtrace=False,
        catch=True,
    )
    logging.basicConfig(handlers=[_Intercept()], level=logging.WARNING, force=True)
    logging.captureWarnings(capture=True)


def _through(redactor: Redactor, stream: TextIO) -> Callable[[Message], None]:
    def write(message: Message) -> None:
        text = redactor.redact(str(message))
        encoding = stream.encoding or "utf-8"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()

    return write


class _Intercept(logging.Handler):
    """The standard library's logging into loguru."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            level: str | int = logger.level(record.levelname).name
        except ValueError:
            level = record.levelno
        logger.opt(exception=record.exc_info, depth=6).log(level, "{}", record.getMessage())
