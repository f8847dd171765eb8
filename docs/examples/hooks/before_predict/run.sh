anydet export-predictions --adapter toy --dataset scenes --output predictions.json
