"""The language relative: the demo's U-Net re-trained to read a real sentence encoder. A measuring instrument."""
