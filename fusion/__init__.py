"""The judge: features, risk, causes, decision."""
