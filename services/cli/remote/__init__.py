"""Commands that a service carries out: with ``--server URL`` each is the twin of the local one of the same name."""
