"""What each command does. Roles are checked before: see `dozor_bot.router`."""
