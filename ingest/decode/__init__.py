"""The one door: bytes of a record in, a frozen, typed message or a `BadRecord` out."""
