"""Networks: backbones with their weights, the two of the method, and heads on frozen features."""
