"""Strategies of selection, one file each; a file registers itself with ``@selectors.register(NAME)``."""
