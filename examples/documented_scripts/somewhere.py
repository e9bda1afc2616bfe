"""The module that RQ's documentation imports its job from."""

from urllib.request import urlopen


def count_words_at_url(url):
    """Return the number of words on a page."""
    with urlopen(url) as response:
        return len(response.read().split())
