"""Runs carried out: on the loop, in a thread, in a child process."""
