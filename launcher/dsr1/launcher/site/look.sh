# What a site file can be made from, a line each: GPUs, environments that have vLLM, DeepSeek models. Reads alone.
nvidia-smi --query-gpu=name --format=csv,noheader 2>/dev/null | sed 's/^/gpu /'
for folder in "$VIRTUAL_ENV" "$HOME"/vllm "$HOME"/.venv "$HOME"/venv /opt/vllm /opt/* /shared/* /usr/local/vllm; do
    [ -x "$folder/bin/python" ] || continue
    for info in "$folder"/lib/python3*/site-packages/vllm-*.dist-info; do
        [ -d "$info" ] && echo "venv $folder"
    done
done
for folder in /models/* /model/* /data/models/* /mnt/models/* /shared/models/* /shared/*; do
    grep -qs '"DeepseekV3ForCausalLM"' "$folder/config.json" && echo "model $folder"
done
exit 0
