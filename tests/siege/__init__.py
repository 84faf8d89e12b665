"""The siege: a fault campaign in which every part is real.

A runner in a process of its own, killed with SIGKILL; the Bot API stand-in over HTTP, with pace limits; a
PostgreSQL that is killed, frozen, and loses its sessions. For all of them seconds pass `speed` times as fast.

    truth      what breaks and when: made from a seed before anything starts
    plan       what befalls Telegram, PostgreSQL and the runner, and when
    haste      one fast time line for all processes, and for PostgreSQL's now()
    siege      starts, kills and freezes; waits until all is told
    evidence   what everybody has left behind
    verdict    what is wrong with it
"""
