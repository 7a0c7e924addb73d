"""The tab by itself: a diffusers pipeline as the host, a panel to draw with, and a server that keeps to itself."""
