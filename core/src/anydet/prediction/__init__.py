"""The export pipeline: records -> adapter -> stream of predictions -> file."""
