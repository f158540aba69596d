"""The experiments that the paper left out: one thing changed at a time, with an interval."""
