"""The status page: its frame, its data, its updates, its actions."""
