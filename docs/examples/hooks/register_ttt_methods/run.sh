anydet export-predictions --adapter toy --dataset scenes --ttt-method watch --wrap --output predictions.json
