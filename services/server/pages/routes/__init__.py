"""Routes of pages, one area a file; each has a ``router``."""
