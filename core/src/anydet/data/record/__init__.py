"""Images as records: pixels, what is known of them, and transforms that can be undone."""
