anydet export-predictions --adapter toy --dataset scenes --wrap --output predictions.json
anydet eval-coco --engine counting --dataset scenes --predictions predictions.json
