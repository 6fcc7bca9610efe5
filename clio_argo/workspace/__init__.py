"""What a step may read and write: the run's documents, its units of work, and which objects they own."""
