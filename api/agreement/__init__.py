"""How well people judge: blind parts, parts shown to two, exercises, and the figures of groups."""
