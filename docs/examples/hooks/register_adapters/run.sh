anydet export-predictions --adapter middle --dataset scenes --output predictions.json
