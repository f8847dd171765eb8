# centers is what 'anydet adapters new centers --kind torch' writes
anydet train --adapter centers --dataset scenes --val-dataset scenes --run-dir run \
  --epochs 1 --batch_size 2 --image_size 64 --num_workers 0 --parity_policy off --device cpu
