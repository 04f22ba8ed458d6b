"""Optimizers, one file each; a file registers itself with ``@optimizers.register(NAME)``."""
