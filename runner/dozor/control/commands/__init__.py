"""The command queue: submission, execution, audit."""
