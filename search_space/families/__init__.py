"""Architecture families, one file each; a file registers itself with ``@families.register(NAME)``."""
