"""How one configuration becomes a trained network: steps, epochs, time limits."""
