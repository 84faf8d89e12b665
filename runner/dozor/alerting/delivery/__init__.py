"""From the outbox to Telegram: claiming, rate limits, one worker a destination, retries, live edits."""
