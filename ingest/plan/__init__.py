"""The control plan: what is wanted, what is allowed, and who answers for it."""
