"""Evaluation: scores of label maps and networks, predictions, result files."""
