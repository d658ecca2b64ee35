"""The tiny published-layout system of golden/tiny_e2e: its language model, projections and signal tokens, without an encoder."""

import torch
from transformers import LlamaConfig, LlamaModel

from nextgpt_core.llm.torch_model import TorchLanguageModel
from nextgpt_core.llm.tokenizer import SentencePieceTokenizer
from nextgpt_core.model import NextGPT
from nextgpt_core.projections.input import InputProjection
from nextgpt_core.projections.output import OutputProjection
from tests.golden_rules import GOLDEN, golden_json, golden_weight

OUTPUTS = {"image": ("IMG", 4, (77, 768)), "video": ("VID", 24, (77, 1024)), "audio": ("AUD", 8, (1, 512))}
LLAMA = "llama_model.base_model.model."
RENAMED = {"query_embs": "queries", "fc.": "enter.", "tfm.": "transformer.", "model.": "leave."}


def golden_model() -> NextGPT:
    reference = golden_json("tiny_e2e.json")
    config = LlamaConfig(**{key: value for key, value in reference["llama_config"].items()})
    network = LlamaModel(config).eval()
    base = {name: golden_weight(f"model.{name}", list(value.shape), 0.02) for name, value in network.state_dict().items()}
    network.load_state_dict(base)
    delta = {name: golden_weight(name, shape, 0.02) for name, shape in reference["weights"]["delta_keys"].items()}
    signals = {name: tuple(f"[{prefix}{i}]" for i in range(count)) for name, (prefix, count, _) in OUTPUTS.items()}
    llm = TorchLanguageModel(
        network,
        tokenizer=SentencePieceTokenizer(GOLDEN / "tiny_tokenizer.model"),
        added_tokens=("<Img>", "</Img>", *(token for tokens in signals.values() for token in tokens)),
        output_table=torch.zeros(1000, 64),
    )
    tables = {"input": delta[f"{LLAMA}model.embed_tokens.weight"], "output": delta[f"{LLAMA}lm_head.weight"]}
    llm.load_tokens({**{k: v[1000:] for k, v in tables.items()}, **{f"base_{k}": v[:1000] for k, v in tables.items()}}, name="tiny_e2e")
    llm.add_lora(rank=32, alpha=32, targets=("q_proj", "k_proj", "v_proj", "o_proj"))
    lora = {key.removeprefix(f"{LLAMA}model.").replace(".default.", "."): value for key, value in delta.items() if ".lora_" in key}
    llm.load_lora(lora, name="tiny_e2e")
    llm.merge_lora()

    input_projection = InputProjection(kind="linear", encoder_width=32, llm_width=64, tokens=dict.fromkeys(OUTPUTS, 1), shared=True)
    input_projection.load_state_dict({f"networks.shared.{name}": delta[f"llama_proj.{name}"] for name in ("weight", "bias")})
    projections = {}
    for modality, upstream in zip(OUTPUTS, ("gen_text_hidden_fcs", "gen_text_hidden_fcs_video", "gen_text_hidden_fcs_audio")):
        projections[modality] = OutputProjection(llm_width=64, condition_shape=OUTPUTS[modality][2], width=512, layers=4)
        projections[modality].load_state_dict(_output_state(delta, f"{upstream}.0."))
    return NextGPT(
        name="tiny",
        llm=llm,
        input_projection=input_projection,
        output_projections=projections,
        boundary_tokens=("<Img>", "</Img>"),
        signal_tokens=signals,
    ).eval()


def _output_state(delta: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    state = {}
    for key, value in delta.items():
        if key.startswith(prefix):
            short = key[len(prefix) :]
            old = next(old for old in RENAMED if short.startswith(old))
            state[RENAMED[old] + short[len(old) :]] = value[0] if old == "query_embs" else value
    return state
