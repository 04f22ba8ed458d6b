"""The service over HTTP: REST API, pages, sign-in, guards, and MLflow's user interface behind them."""
