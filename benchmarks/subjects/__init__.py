"""The subjects of `make bench`. Each module has `measure(scale)`, which gives the rows of RESULTS.md."""
