"""The stream relative: Z-Image's architecture, small, trained on the demo's artwork. A measuring instrument."""
