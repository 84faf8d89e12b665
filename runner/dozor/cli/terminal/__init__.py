"""What the commands share: options, the database session, streams, widths, words and times."""
