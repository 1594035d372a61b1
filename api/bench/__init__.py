"""`qcfuse bench`: how fast the road is on this machine, and how near its floor."""
