#!/bin/sh
# From a data set to a number, with the detector that also tells poses:
# train 50 steps, predict 20 images with the checkpoint, check the file, evaluate it.
#
#   sh docs/examples/rtdetr_pose.sh                        on scenes of posed solids, made first (anydet-bop)
#   sh docs/examples/rtdetr_pose.sh data/coco128 runs/coco128
#
# DATASET is any data set that anydet reads; all that is written lies in OUT, which must be new.
# About a minute of one core: the smallest model and inputs of 96 px. 50 steps show that the path is whole;
# what a model can learn takes more of them (--max-steps), larger inputs and the config base.
set -eu

out=${2:-runs/rtdetr_pose}
if [ $# -eq 0 ]; then
    dataset=$out/scenes
    anydet synth --scene pose --out "$dataset" --images 64 --size 160x120 --split train
else
    dataset=$1
fi

# The loss of each part is in OUT/run/train_metrics.jsonl; checkpoint.pt is the model after the last step.
anydet train --adapter rtdetr_pose --config n --dataset-root "$dataset" --run-dir "$out/run" \
    --max-steps 50 --lr 1e-3 --image-size 96 --num-queries 100 --num-workers 0

# The checkpoint says what its model is. --wrap writes who predicted what, and how, beside the predictions.
anydet export-predictions --adapter rtdetr_pose --checkpoint "$out/run/checkpoint.pt" --dataset "$dataset" \
    --max-images 20 --wrap --output "$out/predictions.json"

# From here on a file of any other detector would do.
anydet validate-predictions "$out/predictions.json"
anydet eval-coco --dataset "$dataset" --predictions "$out/predictions.json" --bbox-format cxcywh_norm \
    --max-images 20 --json "$out/report.json"
