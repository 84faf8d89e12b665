"""What each command does. Roles are checked before: see `bot.router`."""
