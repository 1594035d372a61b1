"""The escape certificate: what is promised about parts that pass, what it rests on, and when it is void."""
