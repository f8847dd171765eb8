"""inspection: what may be wrong with a data set."""
