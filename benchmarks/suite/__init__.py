"""Parts of `make bench`: results, the machine, processes under measurement, the table and the graph."""
