"""Risks that mean what they say, in training and by the labels that come later."""
