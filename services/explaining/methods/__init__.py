"""Methods that explain an answer, one file each; a file registers itself with ``@methods.register(NAME)``."""
