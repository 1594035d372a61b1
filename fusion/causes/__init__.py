"""Why this part: causes ranked from counterfactuals, labels and incidents, each with evidence to check."""
