"""Data sets to disk, and from one layout to another."""
