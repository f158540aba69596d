"""Weakly supervised semantic segmentation from bounding boxes: an executable reading of BANA."""
