# SPDX-License-Identifier: GPL-3.0-or-later
"""What make_tiny_kinds.py and tiny_kind_senses.py share: training, examining, and writing a tiny model."""

from __future__ import annotations

import copy
import json
import sys
import time
from pathlib import Path

import torch
from torch import nn
from transformers import PreTrainedTokenizerFast

SEED = 5002
HIDDEN = 64

#: A token of an answer must be so many times as likely as any other, so that rounding changes none. (Not 0.8 of all, as
#: the chat model's: an adapter does not reach words that the model itself was never taught to say.)
SURE = 3.0

_BEGUN_S = time.monotonic()


def say(text: str) -> None:
    """Print a line with the seconds since the beginning."""
    print("%4d s  %s" % (time.monotonic() - _BEGUN_S, text), flush=True)


def require(fine: bool, what: str, seen: object) -> None:
    """End the program when a model did not learn what it was taught."""
    if not fine:
        sys.exit("The exam was not passed: %s: %s" % (what, seen))


def train(model: nn.Module, plan: tuple[int, float], loss_of, what: str, parameters=None) -> None:
    """Train a model in place; ``loss_of`` makes the loss of one step."""
    steps, rate = plan
    chosen = list(parameters or model.parameters())
    optimizer = torch.optim.AdamW(chosen, lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    for step in range(steps):
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        nn.utils.clip_grad_norm_(chosen, 1.0)
        optimizer.step()
        schedule.step()
        if step + 1 == steps:
            say("%s: %d steps, loss %.4f" % (what, steps, loss.item()))


def examined(model: nn.Module) -> nn.Module:
    """Return a copy with the weights rounded as vLLM will serve them (float16)."""
    return copy.deepcopy(model).half().float().eval()


def next_tokens(model: nn.Module, lines: list[tuple[list[int], list[int]]]) -> torch.Tensor:
    """Return the mean loss of what must follow each given text."""
    total = []
    for given, wanted in lines:
        made = model(torch.tensor([given + wanted[:-1]])).logits[0, len(given) - 1 :]
        total.append(nn.functional.cross_entropy(made, torch.tensor(wanted)))
    return torch.stack(total).mean()


def least_sure_of(logits: torch.Tensor, wanted: torch.Tensor) -> float:
    """Return how many times as likely as any other each token of ``wanted`` is at least."""
    made = logits.softmax(-1)
    right = made.gather(1, wanted[:, None])
    others = made.scatter(1, wanted[:, None], 0.0).max(-1, keepdim=True).values
    return (right / others).min().item()


def least_sure(model: nn.Module, lines: list[tuple[list[int], list[int]]]) -> float:
    """Return how many times as likely as any other each token that must follow is at least."""
    with torch.no_grad():
        return min(
            least_sure_of(model(torch.tensor([given + wanted[:-1]])).logits[0, len(given) - 1 :], torch.tensor(wanted))
            for given, wanted in lines
        )


def write(path: Path, content: object) -> None:
    """Write a JSON file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def save_tokenizer(tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a tokenizer, under the name of a class that every version of transformers can load."""
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    write(path, {**json.loads(path.read_text(encoding="utf-8")), "tokenizer_class": "PreTrainedTokenizerFast"})
