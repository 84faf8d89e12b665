"""Incidents opened, updated and resolved, and the notifications planned for them."""
