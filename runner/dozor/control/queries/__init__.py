"""Read models: status, history, statistics, outbox."""
