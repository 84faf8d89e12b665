"""Several processes on one database: who leads, for how long, and what a former leader can no longer do."""
