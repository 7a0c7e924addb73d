"""The Denoiser over whatever holds a model; each module imports its host only where it is used."""
