"""Delivery while the database or Telegram is away: outage sender, second channel, emergency messages."""
