"""Networks: backbones with their weights, and the two heads of the method."""
