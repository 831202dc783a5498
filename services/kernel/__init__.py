"""The nouns: event, item, profile, release manifest, settings, metric names. No client, no framework."""
