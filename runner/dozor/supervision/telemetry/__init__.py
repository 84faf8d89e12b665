"""What supervision reports: log lines, metrics, observers."""
