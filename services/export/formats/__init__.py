"""Export formats, one file each; a file registers itself with ``@exporters.register(NAME)``."""
