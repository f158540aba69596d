"""The command `bana`: thin fronts of the package's functions."""
