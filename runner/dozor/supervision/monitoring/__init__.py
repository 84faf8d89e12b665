"""Checks beside the runs: overdue tasks, missing heartbeats, dependencies, limits, the loop watchdog."""
