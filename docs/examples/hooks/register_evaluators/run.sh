anydet export-predictions --adapter toy --dataset scenes --wrap --output predictions.json
anydet eval --dataset scenes --predictions predictions.json --metrics count
