"""HTTP reads: recommendations, catalogue, profiles."""
