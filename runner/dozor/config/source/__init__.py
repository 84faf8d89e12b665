"""The file: from text to values with line numbers, and every problem in words that help."""
