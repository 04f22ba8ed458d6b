"""MLflow's user interface, behind the service's sign-in."""
