"""What can be touched: a box to drag (notebook 02), and label noise to turn up (notebook 06)."""

from bana.course.widget.noise import show_noise, write_noise_page
from bana.course.widget.playground import show, write_playground

__all__ = ["show", "show_noise", "write_noise_page", "write_playground"]
