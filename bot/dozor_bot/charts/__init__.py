"""Pictures. They are drawn by a process of their own: drawing takes a second, and the loop must not wait."""
