"""The join: messages of one partition in, evidence of a part at a gate out."""
