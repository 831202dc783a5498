"""Log or CloudEvents in, store out. The only writer of the store."""
