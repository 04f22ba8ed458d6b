"""The control plane without HTTP: which studies there are, what runs each, what waits, and what was asked by whom."""
