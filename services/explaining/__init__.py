"""What the networks of an exported ensemble look at, as pictures."""
