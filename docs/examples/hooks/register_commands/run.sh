anydet hello scenes
