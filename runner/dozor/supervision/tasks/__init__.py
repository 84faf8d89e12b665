"""The tasks under supervision, their stored state and checkpoints."""
