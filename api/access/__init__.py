"""Who may do what: log-in, sessions, tokens, the plant's directory, limits."""
