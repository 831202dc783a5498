"""HTTP in, log out. Every write enters here and nowhere else."""
