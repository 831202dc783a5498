"""A release on disk or behind a URL: following the live pointer, checking, reading."""
