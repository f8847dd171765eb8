anydet export-predictions --adapter toy --dataset scenes --tta-views original,hflip --tta-fusion first \
  --output predictions.json
