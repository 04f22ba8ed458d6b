"""Who may ask what: tokens, sessions, forged requests, foreign hosts, floods; one guard a file."""
