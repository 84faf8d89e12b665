"""Who may do what: roles, one-time codes, confirmations, rate limits a user."""
