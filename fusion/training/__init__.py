"""Training of the judge, gate by gate: cases, eyes, models, card."""
