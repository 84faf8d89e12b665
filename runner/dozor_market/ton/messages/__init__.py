"""What a transaction of one of our wallets means. Pure."""
