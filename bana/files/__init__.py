"""Files: where they lie, results that are kept, the same work on many of them."""
