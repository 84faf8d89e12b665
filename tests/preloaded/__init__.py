"""`dozor` as a process of its own, forked from an interpreter that has imported it."""
