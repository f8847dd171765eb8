"""Data sets of class masks and of classes of whole images."""
