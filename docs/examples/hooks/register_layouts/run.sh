anydet plugins check corners
