"""Replay folders: recorded production in plain files, as arrivals in the order in which they came."""
