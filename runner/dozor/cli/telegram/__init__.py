"""`dozor telegram`: the connection to Telegram is set up and tested."""
