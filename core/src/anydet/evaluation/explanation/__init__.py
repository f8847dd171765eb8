"""explanation: why AP is low."""
