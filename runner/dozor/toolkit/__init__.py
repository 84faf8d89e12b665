"""The shape that checkers share, for your own as well: see docs/checkers.md.

`Queue` and `drain`: items that fall due, in batches that other processes skip; `process_or_split` finds
the one that spoils a batch (batches.py).
`start_cursor`, `read_cursor` and `move_cursor`: how far a source has been read (cursor.py).
`set_aside` and `announce`: items that cannot be processed, reported once (quarantine.py).
`report_backlog`: how far behind, and an alert when too far (backlog.py).
"""

from __future__ import annotations

from dozor.toolkit.backlog import Backlog, report_backlog
from dozor.toolkit.batches import Queue, drain, process_or_split
from dozor.toolkit.cursor import move_cursor, read_cursor, start_cursor
from dozor.toolkit.quarantine import announce, set_aside

__all__ = [
    "Backlog",
    "Queue",
    "announce",
    "drain",
    "move_cursor",
    "process_or_split",
    "read_cursor",
    "report_backlog",
    "set_aside",
    "start_cursor",
]
