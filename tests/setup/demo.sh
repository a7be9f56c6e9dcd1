#!/bin/sh
# The demo's main job, inside `engine sandbox --`: the pipeline A to G, then the shut production half.
set -u
engine="${1:?the engine program}"
"$engine" apply plans/clone_a_to_g.toml --replace || exit $?
echo
echo "the other half, while nobody has ratified anything:"
"$engine" apply plans/production_rollout.toml
code=$?
echo
if [ "$code" -ne 30 ]; then
    echo "the rollout should have been blocked (exit 30) and ended with exit $code"
    exit 1
fi
echo "blocked, as it must be (exit 30). The dossier of the first run:"
for run in .engine/runs/*/; do
    [ -f "${run}dossier/12-go-no-go.md" ] && last="$run"
done
echo "${last}dossier"
ls "${last}dossier"
