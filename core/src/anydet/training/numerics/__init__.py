"""Numbers that are not finite, numbers that are sanitized, random states."""
