"""Which channel or camera moved, by how much and since when."""
