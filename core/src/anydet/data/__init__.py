"""Data sets on disk as records and ground truth columns."""
