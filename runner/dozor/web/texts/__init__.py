"""The texts of the status page in both languages."""
