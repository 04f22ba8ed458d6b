"""The control plane over HTTP: REST under /api/v1, and what guards it."""
