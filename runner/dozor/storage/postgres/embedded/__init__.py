"""The embedded PostgreSQL server: initialised, started, found again and ended."""
