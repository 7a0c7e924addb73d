"""How the demo model was made: artwork, scenes, VAE, text encoder, U-Net and judge, step by step."""
