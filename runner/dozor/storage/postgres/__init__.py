"""The server: embedded PostgreSQL, pools, LISTEN, migrations."""
