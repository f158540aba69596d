"""A small data set of drawn scenes, for whoever has no photographs at hand."""
