#!/bin/sh
# Answers every case in /workspace/inputs into /workspace/outputs, under the same name, and looks at no truth in it.
# YARDSTICK says which challenge asks: cvpr25-text or cvpr25-interactive; MODEL, INPUTS and OUTPUTS may be set as well.
set -eu
model=${MODEL:-default}
case $model in containers/*) model=/opt/boltzformer/$model ;; esac
exec python -m boltzformer evaluate "${INPUTS:-/workspace/inputs}" --output "${OUTPUTS:-/workspace/outputs}" \
    --as "${YARDSTICK:-cvpr25-text}" --blind --model "$model"
