"""The checks of `dozor doctor`, a file for each thing it looks at."""
