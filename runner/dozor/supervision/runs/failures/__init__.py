"""Failures of runs: exceptions and time limits as text, with the stack at that moment."""
