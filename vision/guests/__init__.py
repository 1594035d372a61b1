"""Networks of somebody else's: read, checked, and made part of an eye, or an eye of their own."""
