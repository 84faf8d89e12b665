"""Wallets read, credited, gone over again and reconciled."""
