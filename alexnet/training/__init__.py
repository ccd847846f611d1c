"""The recipe's type, the one loop, the learning rule, the schedule, checkpoints, the journal and the run folder."""
