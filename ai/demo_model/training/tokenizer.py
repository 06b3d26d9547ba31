"""Trains a small CLIP-style tokenizer on the captions of drawn pictures.

    python -m ai.demo_model.training.tokenizer --work build

Writes WORK/tokenizer/. Common words of real prompts are learned besides, so that they cost few
tokens although they mean nothing to the checkpoint.
"""

import argparse
import json
import random
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from ai.demo_model.training.networks import TEXT_TOKENS
from ai.demo_model.training.pictures import draw_picture, filler

START, END, WORD_END = "<|startoftext|>", "<|endoftext|>", "</w>"
CLIP_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"


def captions(count: int, rng: random.Random) -> list[str]:
    """Captions of tiny pictures, and a quarter as many lines of filler words."""
    drawn = [draw_picture(16, 16, rng, oversample=1)[1] for _ in range(count)]
    return drawn + [filler(rng) for _ in range(count // 4)]


def learn_merges(lines: list[str], size: int) -> list[tuple[str, str]]:
    """Byte pairs to merge, most frequent first, split into words as CLIP does."""
    tokenizer = Tokenizer(models.BPE(unk_token=END, end_of_word_suffix=WORD_END))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(CLIP_WORDS), behavior="removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=3,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        end_of_word_suffix=WORD_END,
        special_tokens=[],
        show_progress=False,
    )
    tokenizer.train_from_iterator(lines, trainer)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [(left, right) for left, right in merges]


def vocabulary(merges: list[tuple[str, str]]) -> dict[str, int]:
    """Every byte, every byte at a word's end, every merge, then start and end: CLIP's order."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = [*alphabet, *(byte + WORD_END for byte in alphabet)]
    words += [left + right for left, right in merges]
    unique = dict.fromkeys([*words, START, END])
    return {word: index for index, word in enumerate(unique)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--work", type=Path, required=True, help="folder of the weights")
    parser.add_argument("--captions", type=int, default=12000)
    parser.add_argument("--size", type=int, default=1400, help="of the vocabulary, at most, tokens")
    parser.add_argument("--seed", type=int, default=3)
    args = parser.parse_args()
    merges = learn_merges(captions(args.captions, random.Random(args.seed)), args.size)
    tokenizer = CLIPTokenizer(vocab=vocabulary(merges), merges=merges, model_max_length=TEXT_TOKENS)
    tokenizer.save_pretrained(args.work / "tokenizer")
    print(len(tokenizer), tokenizer.tokenize("a red circle on a blue background, astronaut"))


if __name__ == "__main__":
    main()
