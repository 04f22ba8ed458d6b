"""Pruners, one file each; a file registers itself with ``@pruners.register(NAME)``."""
