"""The widget of the course: a box to drag, and background-aware pooling that follows it at once."""

from bana.course.widget.playground import show, write_playground

__all__ = ["show", "write_playground"]
