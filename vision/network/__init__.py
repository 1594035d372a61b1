"""The optional network that looks for what painted defects look like."""
