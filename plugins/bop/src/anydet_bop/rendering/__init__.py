"""A small renderer: meshes, a z-buffer, textures of solids, in NumPy alone."""
