"""The pages by themselves: their style is the one that the policy allows, and values are escaped."""

import base64
import hashlib
import re

import pytest
from jinja2 import UndefinedError

from smart_auth.pages import Pages


def test_the_style_on_the_page_is_the_one_that_the_policy_names():
    pages = Pages()
    html = pages.render("message", title="T", text="x")
    (style,) = re.findall(r"<style>(.*)</style>", html, re.DOTALL)
    hashed = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{hashed}'" in pages.headers["Content-Security-Policy"]


def test_values_are_escaped_and_a_forgotten_one_is_an_error():
    pages = Pages()
    assert "<b>" not in pages.render("message", title="<b>", text="<b>")
    with pytest.raises(UndefinedError):
        pages.render("message", title="T")
