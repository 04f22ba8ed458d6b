"""The data that the service knows: what was uploaded, what lies in the folders that it may read, and what is in it."""
