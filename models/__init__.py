"""The shelf: what a model is, how it is kept, and the only place that opens one."""
