"""`dozor market`: what the marketplace's checkers leave to a person."""
