"""The door in: messages, decoding, the logs, sources, and the join of evidence per part."""
