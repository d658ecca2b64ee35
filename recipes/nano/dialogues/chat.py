"""Plain chat that keeps the language model's general ability: everyday questions, answered by the frozen base model itself."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from recipes.nano.world.things import Thing, things

_DATA = Path(__file__).parent / "data"
CHAT_FILE = _DATA / "chat.jsonl"  # what `write_replies` wrote, kept because it takes half an hour
PROMPTS_FILE = _DATA / "chat_prompts.txt"  # one a line
# Only while the replies are written; the tuned model is to be brief by itself.
BREVITY = "You are a friendly assistant. Answer in one or two short sentences."

_SUBJECTS = """gravity|photosynthesis|the moon|the solar system|rainbows|volcanoes|earthquakes|dinosaurs|bees|whales|elephants|cats|dogs|
owls|
octopuses|trees|coffee|tea|chocolate|bread|cheese|rice|pasta|pizza|soup|salt|sugar|water|ice|snow|clouds|lightning|the sea|rivers|
mountains|deserts|
the internet|computers|robots|telephones|bicycles|trains|cars|planes|ships|rockets|satellites|music|the piano|the guitar|the violin|drums|
opera|jazz|
painting|photography|cinema|poetry|novels|football|tennis|chess|swimming|yoga|running|sleep|dreams|friendship|money|banks|history|
the Romans|
ancient Egypt|Paris|London|Tokyo|New York|India|China|Brazil|Australia|the heart|the brain|muscles|vitamins|medicine|gardening|cooking|
recycling|
electricity|magnets|light|sound|atoms|diamonds|gold|plastic|paper|glass|clocks|calendars|holidays|birthdays|schools|libraries|museums|
castles"""

_ABOUT = """What is interesting about {x}?|Tell me something about {x}.|Give me a fun fact about {x}.|Why do people like {x}?|
How would you explain {x} to a child?|what can you tell me about {x}|Can you teach me one thing about {x}?|In one sentence, {x}?|
i want to learn about {x}|
Name two things that have to do with {x}."""

_QUESTIONS = """Hello!|Hi there|hey|Good morning!|Good evening|How are you?|How are you today?|What is your name?|Who are you?|
What can you do?|
Thank you!|thanks a lot|That was helpful, thank you.|Goodbye|see you later|I feel a bit sad today.|I am so happy today!|I can't sleep.|
I'm bored.|I am tired.|
I had a long day at work.|My friend is angry with me. What should I do?|I have an exam tomorrow and I'm nervous.|It's my birthday!|
I'm hungry.|
What is two plus two?|What is 7 times 8?|What is ten minus four?|How many days are in a week?|How many months are in a year?|
How many legs does a spider have?|
What is the capital of France?|What is the capital of Italy?|What is the capital of Japan?|Where is Canada?|Which is the largest ocean?|
What is the highest mountain on Earth?|What language do people speak in Brazil?|Who wrote Romeo and Juliet?|Who painted the Mona Lisa?|
Who was Albert Einstein?|Who was Marie Curie?|When did the Second World War end?|How far away is the sun?|Is Pluto a planet?|
Why is the sky blue?|
Why is grass green?|Why do leaves fall in autumn?|Why do cats purr?|Why do dogs bark?|How do birds fly?|How do fish breathe?|
How does a plane fly?|
How does a fridge work?|How do I boil an egg?|How do I make tea?|How do I make pancakes?|How do I tie a tie?|
How do I learn a new language?|
How can I sleep better?|How can I save money?|How do I write a good email?|How do I stop procrastinating?|How do I make new friends?|
How do I plant a tomato?|How do I clean a window?|How do I get better at chess?|How do I start running?|What should I cook tonight?|
What should I read next?|Suggest a name for a kitten.|Suggest a name for a boat.|Suggest a gift for my mother.|
Give me an idea for the weekend.|
Tell me a joke.|Tell me a short story.|Tell me a riddle.|Write a short poem about the sea.|Write a haiku about autumn.|
Write a line about hope.|
Write a short birthday wish.|Write a polite refusal to an invitation.|Write one sentence with the word umbrella.|
Give me three words that rhyme with cat.|
Give me a synonym for happy.|What is the opposite of brave?|What does 'curious' mean?|What does 'melancholy' mean?|
Spell the word necessary.|
Is a tomato a fruit?|Is a whale a fish?|Can penguins fly?|Do plants sleep?|Do fish sleep?|What do pandas eat?|What do cows drink?|
How long do turtles live?|
What is the fastest animal?|What is the tallest animal?|What is a mammal?|What is a verb?|What is a prime number?|What is a triangle?|
What is a metaphor?|
What is a democracy?|What is inflation?|What is a black hole?|What is DNA?|What is a vaccine?|What is a recipe for happiness?|
What makes a good friend?|
What is your favourite colour?|Do you like music?|Do you dream?|Are you a person?|Can you help me?|Can you help me with my homework?|
What time is it?|What is the weather like?|Should I take an umbrella?|Tea or coffee?|Cats or dogs?|Is it good to walk every day?|
How much water should I drink?|What is a healthy breakfast?|What are good vegetables to eat?|What does a violin look like?|
What sound does a cow make?|
What colour is a banana?|What colour is the sky?|What is a film director?|What is a portrait?|Who invented the telephone?|
Who invented the light bulb?|
What is the difference between a frog and a toad?|What is the difference between weather and climate?|
What is the difference between a lake and a sea?|
Correct this sentence: he go to school.|Translate 'good morning' into French.|Translate 'thank you' into Spanish.|
Translate 'cat' into German.|
What day comes after Tuesday?|What comes after the letter M?|Sort these: pear, apple, fig.|Count to five.|Say something nice.|
Cheer me up.|
Give me some advice.|Give me a motto for today.|What is the meaning of life?|ok|great|I see|tell me more|really?|why?|
i don't understand"""


def chat_prompts() -> list[str]:
    """Everyday messages that want words only, in a fixed order: single questions, each subject in three forms, and those of the file."""
    subjects, forms = _items(_SUBJECTS), _items(_ABOUT)
    composed = [forms[(3 * i + k) % len(forms)].format(x=subject) for i, subject in enumerate(subjects) for k in range(3)]
    return list(dict.fromkeys(_items(_QUESTIONS) + composed + PROMPTS_FILE.read_text(encoding="utf-8").splitlines()))


def description_prompt(thing: Thing) -> str:
    """What the base model was asked, for its words about a thing."""
    return f"What is {thing.singular}?"


def descriptions(path: Path = CHAT_FILE) -> dict[str, str]:
    """Thing's name -> the base model's sentence about it: what to say when words are wanted and no picture."""
    replies = {row["prompt"]: _first_sentence(row["reply"]) for row in _rows(path)}
    return {thing.name: replies[description_prompt(thing)] for thing in things() if description_prompt(thing) in replies}


def is_held_out(prompt: str) -> bool:
    """Every seventh prompt is kept for measuring perplexity and never trained on."""
    return _ORDER.get(prompt, 0) % 7 == 3


def chat_pairs(*, held_out: bool, path: Path = CHAT_FILE) -> list[tuple[str, str]]:
    """(message, the base model's reply) of one side of the split."""
    rows = [row for row in _rows(path) if row["prompt"] in _ORDER]
    return [(row["prompt"], _short(row["reply"])) for row in rows if is_held_out(row["prompt"]) == held_out]


def write_replies(model: Any, tokenizer: Any, *, path: Path = CHAT_FILE, batch: int = 24, longest: int = 70) -> int:
    """Let the base model answer every prompt, keep whole sentences only, append JSON lines; returns how many were kept."""
    path.parent.mkdir(parents=True, exist_ok=True)
    done = {row["prompt"] for row in _rows(path)} if path.is_file() else set()
    wanted = chat_prompts() + [description_prompt(thing) for thing in things()[::2]]
    kept = 0
    with path.open("a") as file:
        for prompts in _batches(sorted((p for p in wanted if p not in done), key=len), batch):
            for prompt, reply in zip(prompts, _answer(model, tokenizer, prompts, longest), strict=True):
                if reply:
                    kept += 1
                    file.write(json.dumps({"prompt": prompt, "reply": reply}) + "\n")
            file.flush()
    return kept


@torch.inference_mode()
def _answer(model: Any, tokenizer: Any, prompts: Sequence[str], longest: int) -> list[str]:
    texts = [f"<|im_start|>system\n{BREVITY}<|im_end|>\n<|im_start|>user\n{p}<|im_end|>\n<|im_start|>assistant\n" for p in prompts]
    tokenizer.padding_side = "left"
    inputs = tokenizer(texts, return_tensors="pt", padding=True)
    made = model.generate(**inputs, max_new_tokens=longest, do_sample=False, pad_token_id=tokenizer.pad_token_id)
    return [_whole_sentences(tokenizer.decode(row[inputs["input_ids"].shape[1] :], skip_special_tokens=True)) for row in made]


def _whole_sentences(text: str) -> str:
    """The text up to its last sentence end, on one line; empty if there is none."""
    line = re.sub(r"\s+", " ", text).strip()
    match = re.match(r".*[.!?](?=[\"')]?(\s|$))[\"')]?", line)
    return match.group(0) if match and 8 <= len(match.group(0)) <= 320 else ""


def _first_sentence(text: str) -> str:
    return re.split(r"(?<=[.!?])\s+(?=[A-Z])", text)[0]


def _short(text: str, *, longest: int = 180) -> str:
    """Whole sentences up to about `longest` characters, at least one."""
    sentences = re.split(r"(?<=[.!?])\s+(?=[A-Z])", text)
    kept = sentences[0]
    for sentence in sentences[1:]:
        if len(kept) + len(sentence) >= longest:
            break
        kept += f" {sentence}"
    return kept


def _batches(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for begin in range(0, len(items), size):
        yield items[begin : begin + size]


def _rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _items(text: str) -> list[str]:
    return [part.strip() for part in text.split("|")]


_ORDER = {prompt: i for i, prompt in enumerate(chat_prompts())}
