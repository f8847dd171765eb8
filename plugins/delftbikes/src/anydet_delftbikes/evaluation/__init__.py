"""Evaluators for images of parts that may be absent."""
