"""One run: its context, its failure, its stacks, how it ended."""
