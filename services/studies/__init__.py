"""What one does with a study: run it, finish it, refit, distil, check, repair, delete."""
