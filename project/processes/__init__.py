"""Child processes: supervised while they run, ended with their parent, reached by their ports."""
