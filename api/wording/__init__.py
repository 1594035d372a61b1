"""Words for people: languages, plural forms, the plant's clock."""
