anydet synth --scene squares --out squares --images 2
