"""A study's settings: their types and units, the home, and how they are written in a file or on a command line."""
