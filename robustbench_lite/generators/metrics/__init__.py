"""How good generated images are, a way of asking per file. Images are float32 (n, C, H, W) in [0, 1]."""
