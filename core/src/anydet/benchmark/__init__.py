"""How fast adapters are: several on the same images, in turn."""
