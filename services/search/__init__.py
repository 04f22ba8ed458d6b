"""The search: what is proposed, what fits into the budget, when it ends, and what it keeps on disk."""
