"""Boxes as annotation tools write them: which format a file has, and a reader of each."""
