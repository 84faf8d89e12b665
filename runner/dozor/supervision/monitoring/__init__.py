"""Checks beside the runs: overdue and silent tasks, dependencies, limits, the loop watchdog."""
