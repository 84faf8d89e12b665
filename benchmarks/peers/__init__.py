"""What the supervision benchmark compares with: each module is run as a process of its own.

`python -m benchmarks.peers.NAME TASKS RECORDED FILE`: `TASKS` no-op tasks at 1 Hz until SIGTERM; the first
`RECORDED` of them write their lateness to FILE (`benchmarks.suite.recorder`).
"""
