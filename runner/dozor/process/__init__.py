"""The process itself: its threads, descriptors, forks, streams, beginning and end."""
