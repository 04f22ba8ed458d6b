"""Executors: what trains the trials that the search dispatches."""
