"""Which tool, lot or pair makes more defects or flags than is natural, and since when."""
