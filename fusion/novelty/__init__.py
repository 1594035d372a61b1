"""What training never saw is named, and believed less."""
