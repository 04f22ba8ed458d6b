"""Augmentation policies, one file each; a file registers itself with ``@augmentations.register(NAME)``."""
