"""Exports: formats, the proof that each answers as torch does, hashes, the model card."""
