"""What all data sets have in common: protocols, columns, splits, fingerprints, subsets."""
