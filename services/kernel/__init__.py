"""The nouns: event, item, profile, release manifest, settings, metric names. Pure: no client, no framework."""
