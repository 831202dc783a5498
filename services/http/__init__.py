"""The HTTP edge the services share: keys, CORS, bounded bodies, problem details, health, the server runner."""
