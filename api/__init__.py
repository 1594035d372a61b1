"""The doors out: store, screen, reports, PLC, and the command line."""
