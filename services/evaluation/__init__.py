"""What answers are worth: scores with their intervals, comparisons, and the figures that show them."""
