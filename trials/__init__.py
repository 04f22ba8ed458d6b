"""How one configuration becomes a trained, judged model. Knows nothing of Ray or MLflow."""
