"""What happens in a study: events, the log that keeps them, and the progress that they add up to."""
