import pytest

from recipes.nano.evaluation.naming import Names, motion_names, sound_names

NAMES = Names(
    {"bear": ("bear", "bears"), "polar bear": ("polar bear",), "orange": ("orange",), "cat": ("cat", "kitten"), "rooster": ("a rooster",)}
)


@pytest.mark.parametrize(
    ("reply", "named"),
    [
        ("That's a bear.", {"bear"}),
        ("That's a polar bear.", {"polar bear"}),
        ("TWO BEARS!", {"bear"}),
        ("I see a kitten, not a bear.", {"cat"}),
        ("an orange cat", {"cat"}),
        ("an orange on a blue background", {"orange"}),
        ("It's an orange.", {"orange"}),
        ("a rooster", {"rooster"}),
        ("forbearing concatenation", set()),
        ("", set()),
    ],
)
def test_the_first_known_word_counts(reply, named):
    assert NAMES.first(reply) == named


def test_one_phrase_may_stand_for_several_names():
    assert Names({"a bell": ("a bell",), "a church bell": ("a bell", "a church bell")}).first("a bell") == {"a bell", "a church bell"}


def test_motions_are_read_beside_the_thing():
    assert motion_names().first("The video shows a dog moving to the left.") == {"moving to the left"}
    assert motion_names().first("It bounces.") == {"bouncing"}
    assert NAMES.without_first("a bear spinning") == "a  spinning"


def test_sounds_are_read_with_and_without_articles():
    assert "a violin" in sound_names().first("I hear a violin.")
    assert "rain" in sound_names().first("That sounds like heavy rain.")
