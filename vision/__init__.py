"""The eyes: what is wrong in a frame, and whether the frame may be trusted at all."""
