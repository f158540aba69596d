"""Experiments: settings, the stages that are made once and kept, and their records."""
