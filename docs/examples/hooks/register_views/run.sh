anydet export-predictions --adapter toy --dataset scenes --tta-views upper --output predictions.json
