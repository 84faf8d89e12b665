"""`dozor` and `python -m dozor`."""

from __future__ import annotations

import signal


def main() -> None:
    """The entry point of the command. Ctrl-C while its modules are imported ends it without a traceback."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    from dozor.cli import main as command

    signal.signal(signal.SIGINT, before)
    command()


if __name__ == "__main__":
    main()
