"""Delivery while the database or Telegram is away.

`outage_queue` holds what waits for the database, `outage_sender` sends it to the chat, `failover` sends what
the chat does not take through the fallback channel (`apprise`), from the outage queue or from the outbox
(`outbox_failover`). `emergency` reports a blocked event loop from a thread.
"""
