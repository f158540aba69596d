"""What figures and tables show, computed and kept apart from how it is drawn."""
