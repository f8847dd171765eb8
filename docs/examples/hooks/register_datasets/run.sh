mkdir mine && cp scenes/images/val/*.png mine
echo "$(ls mine | head -1) cup 10 20 30 40" > mine/boxes.lines
anydet check-dataset mine
