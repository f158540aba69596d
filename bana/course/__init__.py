"""The course: notebooks that run, figures, and the look of them."""
