"""The leading part: what one process at a time does, and the steps that build it."""
