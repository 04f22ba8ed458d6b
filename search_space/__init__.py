"""What can be built and trained: architecture families, recipes, and what each candidate costs."""
