"""lora_unlearn: make a text-to-image model stop drawing something, behind a gate."""

__version__ = "0.1.0"
