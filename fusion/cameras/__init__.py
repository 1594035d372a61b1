"""What only the order of a camera's frames shows: frozen, dirty, moved, or false alarms beyond its promise."""
