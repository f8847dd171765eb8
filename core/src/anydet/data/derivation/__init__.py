"""Data sets made of others: some of their objects and images, several as one, one in parts."""
