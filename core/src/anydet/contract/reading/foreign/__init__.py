"""Predictions files of other tools, recognised by what is in them, as the columns of the contract's own."""
