"""The web pages: rendered here, thin over the control plane."""
