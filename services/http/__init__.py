"""The HTTP edge services share: keys, CORS, bounded bodies, problem details, health, the server runner."""
