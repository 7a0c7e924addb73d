"""Training an eraser: prompts, states, methods as rows of parts, and the one loop that they share."""
