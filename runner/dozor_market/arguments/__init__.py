"""Arguments of the marketplace's checkers, validated before anything starts. Pure."""
