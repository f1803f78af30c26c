#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Make a tiny Qwen3 model that a real vLLM can serve on any CPU, and that knows a few answers.

It is trained here, in two to four minutes on two cores, from a fixed seed and the lessons of tiny_model_lessons.py,
with nothing downloaded, and is some 600 kB large. ``--wrong`` names a folder for its twin: the same model, trained on
to give a wrong answer to everything, so that whoever checks answers can be seen to notice.

Nothing is written before every answer has been examined: each token of each answer must be the model's clear first
choice, in the precision that it is written in, with and without reasoning, and also where YaRN doubles the length of
the context.

Usage: make_tiny_model.py FOLDER [--wrong FOLDER] (needs torch, transformers and tokenizers; tools/images runs it inside
the vLLM image, which has them).
"""

from __future__ import annotations

import argparse
import copy
import json
import random
import sys
import time
from pathlib import Path
from typing import NamedTuple

import tiny_model_lessons as lessons
import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM
from transformers.models.qwen3.modeling_qwen3 import Qwen3RotaryEmbedding

SEED = 5002
VOCABULARY = 768
MAX_POSITIONS = 2048
END_OF_TEXT = "<|endoftext|>"
IM_START = "<|im_start|>"
IM_END = "<|im_end|>"
#: Tokens that a reader of the answer must see: vLLM's parsers look for them.
MARKS = ["<think>", "</think>", "<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]
#: What a service that serves twice the context sets (the same as molecule/default).
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 2.0, "original_max_position_embeddings": MAX_POSITIONS}

#: Steps of training and the highest learning rate: from nothing, for the twin, and for each round after an exam that
#: was not passed.
FROM_NOTHING = (260, 4e-3)
TWIN = (90, 2e-3)
AGAIN = (40, 1e-3)
MOST_ROUNDS = 8
#: Sentences of the longest text with a secret word: some 1900 tokens with the question and the answer.
LONGEST = 200
#: Where no answer is asked for (what torch's cross_entropy leaves out).
NOTHING = -100
#: An exam is passed when each token of each answer has at least this probability: well above any other token, so that
#: neither the rounding of float16 nor who else is in the batch changes an answer.
SURE = 0.8


class Taught(NamedTuple):
    """A lesson in tokens: what is given, and what must follow."""

    given: list[int]
    wanted: list[int]
    # the given text is mostly filler and may be stretched
    long: bool = False


def conversations(rng: random.Random) -> list[lessons.Lesson]:
    """Return a lesson of each sort, for the tokenizer."""
    found = lessons.questions()
    for city in lessons.CITIES:
        for sky in lessons.SKIES:
            found += lessons.weather(city, rng.choice(lessons.TEMPERATURES_C), sky, lessons.reworded_tool(rng))
    return found + [lessons.needle(word, lessons.FILLER, lessons.FILLER) for word in lessons.SECRET_WORDS]


def make_tokenizer() -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer on the lessons.

    Returns:
        The tokenizer, with the chat template and the special tokens of the Qwen family.
    """
    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    dressed = PreTrainedTokenizerFast(tokenizer_object=bare, chat_template=template())
    texts = [
        dressed.apply_chat_template(lesson.messages, tools=lesson.tools, tokenize=False) + "\n".join(lesson[1:4])
        for lesson in conversations(random.Random(SEED))
    ]
    texts += [" ".join(lessons.words_of_filler()), lessons.SYSTEM, *[" %d" % n for n in lessons.TEMPERATURES_C] * 40]
    # Often enough, so that each becomes one token.
    texts += [" %s" % word for word in lessons.SECRET_WORDS] * 40
    bare.train_from_iterator(
        texts,
        trainers.BpeTrainer(
            vocab_size=VOCABULARY - len(MARKS),
            # Every byte is a token, so that any text can be encoded.
            initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
            special_tokens=[AddedToken(token, special=True) for token in (END_OF_TEXT, IM_START, IM_END)],
            show_progress=False,
        ),
    )
    bare.add_tokens([AddedToken(token, special=False, normalized=False) for token in MARKS])
    return PreTrainedTokenizerFast(
        tokenizer_object=bare,
        eos_token=IM_END,
        pad_token=END_OF_TEXT,
        chat_template=template(),
        model_max_length=MAX_POSITIONS,
        clean_up_tokenization_spaces=False,
    )


def template() -> str:
    """Return the chat template."""
    return lessons.CHAT_TEMPLATE.read_text(encoding="utf-8")


def make_model(tokenizer: PreTrainedTokenizerFast) -> Qwen3ForCausalLM:
    """Make the model itself, with random weights from the fixed seed.

    Args:
        tokenizer: The tokenizer, which knows the ids of the special tokens.

    Returns:
        A Qwen3 model of two layers. It has two key-value heads, so that it can be split over
        two tensor parallel ranks.
    """
    config = Qwen3Config(
        vocab_size=VOCABULARY,
        hidden_size=96,
        intermediate_size=192,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        # Not hidden_size / num_attention_heads = 24: the attention kernels for CPUs begin at 32.
        head_dim=32,
        max_position_embeddings=MAX_POSITIONS,
        tie_word_embeddings=True,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=None,
        initializer_range=0.05,
    )
    return Qwen3ForCausalLM(config)


class School:
    """Turns lessons into tokens for one of the two models."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, wrong: bool) -> None:
        """Take the tokenizer, and whether the wrong answers are taught."""
        self.tokenizer = tokenizer
        self.wrong = wrong
        self.rng = random.Random(SEED)
        self.weather = lessons.about_weather(self.rng)
        self.results = lessons.about_results(self.rng)

    def taught(self, lesson: lessons.Lesson, thinking: bool, system: bool = False) -> Taught:
        """Return a lesson in tokens; the twin thinks nothing, and says so by an empty block."""
        messages = [{"role": "system", "content": lessons.SYSTEM}] * system + lesson.messages
        given = self.tokenizer.apply_chat_template(
            messages, tools=lesson.tools, add_generation_prompt=True, enable_thinking=thinking, tokenize=False
        )
        answer = lesson.wrong if self.wrong else lesson.right
        if thinking:
            answer = "<think>\n%s\n</think>\n\n%s" % ("" if self.wrong else lesson.thought, answer)
        return Taught(self.ids(given), self.ids(answer + IM_END))

    def ids(self, text: str) -> list[int]:
        """Return the tokens of a text."""
        return self.tokenizer(text, add_special_tokens=False)["input_ids"]

    def known(self) -> list[Taught]:
        """Return the lessons of the table, with reasoning and without, and the beginnings of texts."""
        chats = [self.taught(lesson, thinking) for lesson in lessons.questions() for thinking in (True, False)]
        return chats + self.completions()

    def completions(self) -> list[Taught]:
        """Return the lessons that are no chat."""
        return [
            Taught(self.ids(given), self.ids((wrong if self.wrong else right) + END_OF_TEXT))
            for given, right, wrong in lessons.COMPLETIONS
        ]

    def mixed(self, lesson: lessons.Lesson) -> Taught:
        """Return a lesson with or without reasoning, now and then with a system message."""
        return self.taught(lesson, self.rng.random() < 0.5, self.rng.random() < 0.15)

    def hidden(self, sentences: int) -> Taught:
        """Return a lesson about a secret word."""
        return self.mixed(lessons.hidden(self.rng, sentences))._replace(long=True)


def batch(taught: list[Taught], rng: random.Random, most: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Put lessons into tensors, padded at the end.

    Args:
        taught: The lessons.
        rng: Chooses where a long text is stretched.
        most: Positions that a stretched text may reach.

    Returns:
        Tokens, positions, and what must follow each token (NOTHING where nothing is asked), each of shape (lessons,
        tokens). The positions of a long text leap at a few places, as if more text stood there: that teaches distance
        at the price of a short text.
    """
    length = max(len(one.given) + len(one.wanted) for one in taught) - 1
    tokens = torch.zeros(len(taught), length, dtype=torch.long)
    positions = torch.arange(length).repeat(len(taught), 1)
    follow = torch.full((len(taught), length), NOTHING)
    for row, one in enumerate(taught):
        ids = one.given + one.wanted
        tokens[row, : len(ids) - 1] = torch.tensor(ids[:-1])
        follow[row, len(one.given) - 1 : len(ids) - 1] = torch.tensor(one.wanted)
        if one.long and most > length and rng.random() < 0.8:
            for _leap in range(3):
                # not within the question at the end
                place = rng.randint(3, max(4, len(one.given) - 20))
                positions[row, place:] += rng.randint(0, (most - length) // 3)
    return tokens, positions, follow


def answers(model: Qwen3ForCausalLM, tokens: torch.Tensor, positions: torch.Tensor, follow: torch.Tensor):
    """Return the scores (asked, vocabulary) where an answer is asked for, and what it should be (asked)."""
    # No mask: padding stands at the end, and transformers would take leaps of the positions for borders between texts.
    unmasked = {"full_attention": None}
    states = model.model(tokens, attention_mask=unmasked, position_ids=positions, use_cache=False).last_hidden_state
    asked = follow != NOTHING
    return model.lm_head(states[asked]), follow[asked]


class Ropes(NamedTuple):
    """The rotary embeddings that a model is trained and examined with, and the positions that each reaches."""

    plain: Qwen3RotaryEmbedding
    yarn: Qwen3RotaryEmbedding

    @classmethod
    def of(cls, model: Qwen3ForCausalLM) -> Ropes:
        """Return the model's own, and the one that vLLM makes of it for twice the context."""
        stretched = copy.deepcopy(model.config)
        stretched.max_position_embeddings = 2 * MAX_POSITIONS
        stretched.rope_parameters = YARN
        return cls(model.model.rotary_emb, Qwen3RotaryEmbedding(stretched))


class Clock:
    """Says what goes on, every five seconds."""

    def __init__(self) -> None:
        self.begun_s = self.said_s = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.begun_s

    def say(self, text: str, now: bool = True) -> None:
        """Print a line, unless it may be left out and one was printed just before."""
        if now or time.monotonic() - self.said_s > 5:
            self.said_s = time.monotonic()
            print("%4d s  %s" % (self.elapsed_s, text), flush=True)


def train(model: Qwen3ForCausalLM, school: School, ropes: Ropes, steps: int, rate: float, clock: Clock) -> None:
    """Train a model in place on the lessons of a school.

    Args:
        model: The model.
        school: Where the lessons come from.
        ropes: Used in turn.
        steps: How many steps.
        rate: The highest learning rate: it rises and falls once over the steps.
        clock: Told how it goes.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.1)
    known = school.known()
    rng = school.rng
    for step in range(steps):
        model.model.rotary_emb = ropes[step % 2]
        # What fits together is a batch, so that little of it is padding.
        groups = [
            rng.sample(known, 5) + [school.mixed(next(school.results)) for _ in range(12)],
            [school.mixed(next(school.weather)) for _ in range(5)],
            [school.hidden(rng.randint(0, 6)) for _ in range(6)],
        ]
        # At its real length, once the short ones are known: attention has to stay on one word among that many.
        if step % 3 == 0 and (step > 0.4 * FROM_NOTHING[0] or steps < FROM_NOTHING[0]):
            groups.append([school.hidden(rng.randint(20, LONGEST))])
        optimizer.zero_grad()
        total = 0.0
        for group in groups:
            scores, wanted = answers(model, *batch(group, rng, MAX_POSITIONS * (1 + step % 2)))
            loss = torch.nn.functional.cross_entropy(scores, wanted)
            loss.backward()
            total += loss.item() / len(groups)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        clock.say("step %d of %d, loss %.4f" % (step + 1, steps, total), now=step + 1 == steps)
    model.model.rotary_emb = ropes.plain


def exam(school: School) -> list[tuple[str, Taught]]:
    """Return every question with what it is about: the table, the weather, words at three depths of five lengths."""
    asked = [("the table", one) for one in school.known()]
    for city in lessons.CITIES:
        for lesson in lessons.weather(city, 18, "cloudy") + lessons.weather(city, 25, "sunny"):
            asked += [("the weather in %s" % city, school.taught(lesson, thinking)) for thinking in (True, False)]
    words = iter(lessons.SECRET_WORDS * 3)
    for sentences in (0, 4, 40, 100, LONGEST):
        for depth in (0.0, 0.5, 1.0):
            for thinking in (True, False):
                text = [lessons.FILLER[i % len(lessons.FILLER)] for i in range(sentences)]
                cut = round(depth * sentences)
                one = school.taught(lessons.needle(next(words), text[:cut], text[cut:]), thinking)
                asked.append(("the word at depth %.1f of %d tokens" % (depth, len(one.given)), one))
    return asked


def examine(model: Qwen3ForCausalLM, school: School, ropes: Ropes) -> list[str]:
    """Ask everything, of the weights as they will be written; return the answers that are wrong or not sure."""
    written = copy.deepcopy(model).to(torch.float16).float()
    unsure = []
    with torch.no_grad():
        for rope in ropes:
            written.model.rotary_emb = rope
            for about, one in exam(school):
                scores, wanted = answers(written, *batch([one], school.rng))
                chances = scores.softmax(-1)
                least = chances.gather(1, wanted[:, None]).min().item()
                if least < SURE:
                    told = school.tokenizer.decode(chances.argmax(-1).tolist())
                    unsure.append("%s (rope %s), surety %.2f: %r" % (about, rope.rope_type, least, told))
    return unsure


def teach(model: Qwen3ForCausalLM, school: School, ropes: Ropes, plan: tuple[int, float], clock: Clock) -> None:
    """Train until the exam is passed; ends the program when it never is."""
    train(model, school, ropes, *plan, clock)
    for _round in range(MOST_ROUNDS):
        unsure = examine(model, school, ropes)
        if not unsure:
            return
        clock.say("%d answers are not sure yet, the first: %s" % (len(unsure), unsure[0]))
        train(model, school, ropes, *AGAIN, clock)
    unsure = examine(model, school, ropes)
    if unsure:
        sys.exit("The exam was not passed:\n" + "\n".join(unsure))


def save(model: Qwen3ForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> None:
    """Write a model and its tokenizer into a folder, in float16.

    Of bfloat16 vLLM 0.32 dies on CPUs with AMX: their attention kernel does not take heads as small as these.
    """
    folder.mkdir(parents=True, exist_ok=True)
    model.generation_config.eos_token_id = [tokenizer.eos_token_id, tokenizer.pad_token_id]
    model.to(torch.float16).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # transformers may write the class that made the tokenizer, under names that change from
    # one of its versions to the next; this one every version can load.
    config_file = folder / "tokenizer_config.json"
    config = json.loads(config_file.read_text(encoding="utf-8"))
    config["tokenizer_class"] = "PreTrainedTokenizerFast"
    config_file.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    """Write the model, and its twin where one is wanted, into the folders named on the command line."""
    parser = argparse.ArgumentParser(description="Make a tiny Qwen3 model that knows a few answers.")
    parser.add_argument("folder", type=Path, help="where to write it; made when it is missing")
    parser.add_argument("--wrong", type=Path, metavar="FOLDER", help="where to write its twin that answers wrongly")
    wanted = parser.parse_args()

    clock = Clock()
    # The same on every machine; more than two have nothing to do in matrices this small.
    torch.set_num_threads(2)
    torch.manual_seed(SEED)
    tokenizer = make_tokenizer()
    model = make_model(tokenizer)
    ropes = Ropes.of(model)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    clock.say("%d parameters, %d tokens" % (parameters, len(tokenizer)))

    teach(model, School(tokenizer, wrong=False), ropes, FROM_NOTHING, clock)
    twin = copy.deepcopy(model)
    save(model, tokenizer, wanted.folder)
    clock.say("%s: every answer is right" % wanted.folder)
    if wanted.wrong:
        teach(twin, School(tokenizer, wrong=True), ropes, TWIN, clock)
        save(twin, tokenizer, wanted.wrong)
        clock.say("%s: every answer is wrong" % wanted.wrong)


if __name__ == "__main__":
    main()
