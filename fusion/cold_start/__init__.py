"""A gate without defect labels: it ranks what is unusual, and promises nothing about escapes."""
