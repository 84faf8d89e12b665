"""The checkers of a configuration: found, probed in child processes, imported and inspected."""
