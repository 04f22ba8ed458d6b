"""Ensembles: from the answers of many trials to the few that answer together."""
