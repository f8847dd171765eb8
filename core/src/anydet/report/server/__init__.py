"""A report whose pictures are made on request: a server that answers this machine alone."""
