"""What the service says of studies, datasets and jobs, as plain data; the client knows no more than this."""
