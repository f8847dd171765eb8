"""anydet: one predictions contract, any detector."""
