"""Who does the pieces of a run's work: this process, a pool of processes, a cluster."""
