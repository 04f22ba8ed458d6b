"""Samplers, one file each; a file registers itself with ``@samplers.register(NAME)``."""
