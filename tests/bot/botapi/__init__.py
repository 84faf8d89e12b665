"""A stand-in for the Telegram Bot API: real HTTP on loopback, real refusals, faults on demand.

`server.BotApi` serves in-process; `python -m tests.bot.botapi --port N` serves other processes,
steered through `/_control/...` (see `control`).
"""
