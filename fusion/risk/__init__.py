"""Risk: a row of features in, a calibrated probability with its interval out; and the training of both."""
