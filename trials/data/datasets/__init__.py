"""Data sources, one file each; a file registers itself with ``@sources.register(NAME)``."""
