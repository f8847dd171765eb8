"""Whether files keep the contract: what is wrong, where, and how it is repaired."""
