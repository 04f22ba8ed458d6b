"""An exported ensemble behind HTTP: pictures that wait together are answered in one run of the network."""
