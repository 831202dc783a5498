"""Archive in, release out; exits."""
