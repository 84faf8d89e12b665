"""One module a table family: its SQL and the rows it maps."""
