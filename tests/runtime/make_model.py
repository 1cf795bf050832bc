"""make_model.py DIR: a tiny random model of DeepSeek-V3's architecture (MLA, 16 routed experts),
always the same."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

VOCABULARY = 512
HIDDEN, DENSE, EXPERT = 128, 256, 64
LAYERS, DENSE_LAYERS, EXPERTS, HEADS = 3, 1, 16, 4
Q_RANK, KV_RANK, ROPE, NOPE, VALUE = 64, 512, 64, 32, 32
CONTEXT = 2048
BOS, EOS, PAD = "<|bos|>", "<|eos|>", "<|pad|>"
SPECIAL = [BOS, EOS, PAD, "<|User|>", "<|Assistant|>", "<think>", "</think>"]
TEXT = ["hello world this is a tiny tokenizer for tests the quick brown fox"] * 10
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% if m['role']=='user' %}<|User|>{{ m['content'] }}{%"
    " elif m['role']=='assistant' %}<|Assistant|>{{ m['content'] }}{{ eos_token }}{% else %}{{"
    " m['content'] }}{% endif %}{% endfor %}{% if add_generation_prompt %}<|Assistant|>{% endif %}"
)
TOKENIZER_CONFIG = {
    "tokenizer_class": "PreTrainedTokenizerFast",
    "bos_token": BOS,
    "eos_token": EOS,
    "pad_token": PAD,
    "model_max_length": CONTEXT,
    "clean_up_tokenization_spaces": False,
    "chat_template": CHAT_TEMPLATE,
}
# R1's own kind. Without it vLLM 0.31 turns positions in place, and its CPU kernel does so wrongly: the
# same prompt twice in a batch then has two answers.
ROPE_SCALING = {
    "type": "yarn",
    "factor": 4,
    "original_max_position_embeddings": CONTEXT // 4,
    "beta_fast": 32,
    "beta_slow": 1,
    "mscale": 1.0,
    "mscale_all_dim": 1.0,
}
CONFIG = {
    "architectures": ["DeepseekV3ForCausalLM"],
    "model_type": "deepseek_v3",
    "vocab_size": VOCABULARY,
    "hidden_size": HIDDEN,
    "intermediate_size": DENSE,
    "moe_intermediate_size": EXPERT,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": HEADS,
    "n_shared_experts": 1,
    "n_routed_experts": EXPERTS,
    "routed_scaling_factor": 2.5,
    "kv_lora_rank": KV_RANK,
    "q_lora_rank": Q_RANK,
    "qk_rope_head_dim": ROPE,
    "v_head_dim": VALUE,
    "qk_nope_head_dim": NOPE,
    "topk_method": "noaux_tc",
    "n_group": 4,
    "topk_group": 2,
    "num_experts_per_tok": 4,
    "moe_layer_freq": 1,
    "first_k_dense_replace": DENSE_LAYERS,
    "norm_topk_prob": True,
    "scoring_func": "sigmoid",
    "hidden_act": "silu",
    "max_position_embeddings": CONTEXT,
    "initializer_range": 0.02,
    "rms_norm_eps": 1e-6,
    "use_cache": True,
    "rope_theta": 10000,
    "rope_scaling": dict(ROPE_SCALING),
    "attention_bias": False,
    "attention_dropout": 0.0,
    "num_nextn_predict_layers": 0,
    "tie_word_embeddings": False,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 2,
    "torch_dtype": "bfloat16",
}
GENERATION_CONFIG = {"bos_token_id": 0, "eos_token_id": 1, "do_sample": False}

Weights = Iterator[tuple[str, torch.Tensor]]


def make_tokenizer() -> Tokenizer:
    """A byte-level BPE, filled up to the whole vocabulary so that every sampled id decodes."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=SPECIAL, initial_alphabet=alphabet
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    tokenizer.add_tokens(
        [f"<extra_{number}>" for number in range(tokenizer.get_vocab_size(), VOCABULARY)]
    )
    return tokenizer


def random(rows: int, columns: int) -> torch.Tensor:
    return (torch.randn(rows, columns) * 0.05).to(torch.bfloat16)


def norm(size: int) -> torch.Tensor:
    return torch.ones(size, dtype=torch.bfloat16)


def mlp(prefix: str, size: int) -> Weights:
    yield f"{prefix}.gate_proj.weight", random(size, HIDDEN)
    yield f"{prefix}.up_proj.weight", random(size, HIDDEN)
    yield f"{prefix}.down_proj.weight", random(HIDDEN, size)


def attention(prefix: str) -> Weights:
    yield f"{prefix}.q_a_proj.weight", random(Q_RANK, HIDDEN)
    yield f"{prefix}.q_a_layernorm.weight", norm(Q_RANK)
    yield f"{prefix}.q_b_proj.weight", random(HEADS * (NOPE + ROPE), Q_RANK)
    yield f"{prefix}.kv_a_proj_with_mqa.weight", random(KV_RANK + ROPE, HIDDEN)
    yield f"{prefix}.kv_a_layernorm.weight", norm(KV_RANK)
    yield f"{prefix}.kv_b_proj.weight", random(HEADS * (NOPE + VALUE), KV_RANK)
    yield f"{prefix}.o_proj.weight", random(HIDDEN, HEADS * VALUE)


def experts(prefix: str) -> Weights:
    yield f"{prefix}.gate.weight", random(EXPERTS, HIDDEN)
    yield f"{prefix}.gate.e_score_correction_bias", torch.zeros(EXPERTS)
    for number in range(EXPERTS):
        yield from mlp(f"{prefix}.experts.{number}", EXPERT)
    yield from mlp(f"{prefix}.shared_experts", EXPERT)


def layer(number: int) -> Weights:
    prefix = f"model.layers.{number}"
    yield f"{prefix}.input_layernorm.weight", norm(HIDDEN)
    yield f"{prefix}.post_attention_layernorm.weight", norm(HIDDEN)
    yield from attention(f"{prefix}.self_attn")
    yield from mlp(f"{prefix}.mlp", DENSE) if number < DENSE_LAYERS else experts(f"{prefix}.mlp")


def weights() -> Weights:
    yield "model.embed_tokens.weight", random(VOCABULARY, HIDDEN)
    yield "lm_head.weight", random(VOCABULARY, HIDDEN)
    yield "model.norm.weight", norm(HIDDEN)
    for number in range(LAYERS):
        yield from layer(number)


def write_json(path: Path, value: dict[str, object]) -> None:
    path.write_text(json.dumps(value, indent=1) + "\n")


def make_model(folder: Path) -> None:
    torch.manual_seed(0)
    folder.mkdir(parents=True, exist_ok=True)
    make_tokenizer().save(str(folder / "tokenizer.json"))
    write_json(folder / "tokenizer_config.json", dict(TOKENIZER_CONFIG))
    write_json(folder / "config.json", dict(CONFIG))
    write_json(folder / "generation_config.json", dict(GENERATION_CONFIG))
    weights_file = folder / "model.safetensors"
    save_file(dict(weights()), weights_file, metadata={"format": "pt"})
    weights_file.chmod(
        0o644
    )  # safetensors closes it to others, and the hosts of tests/cluster have users of their own


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    make_model(Path(sys.argv[1]))
