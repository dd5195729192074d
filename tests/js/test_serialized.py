"""The tests of the browser kit speak of the headers that the serializer writes."""

import json

from tests.js import serialized


def test_the_fixture_of_the_javascript_tests_is_what_the_serializer_says() -> None:
    said = json.loads(serialized.FILE.read_text("utf-8"))["answers"]
    assert said == json.loads(json.dumps(serialized.answers())), "run: python -m tests.js.serialized"
