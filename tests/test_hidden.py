"""What a page shows is kept, though it looks much like what it hides; tests/test_attacks.py has the hidden kinds."""

from pathlib import Path

import pytest

from corpus.readers import parse_article

SHOWN = "The lamp of the quay is lit at dusk by hand."


@pytest.mark.parametrize(
    ("styles", "markup"),
    [
        (".tab{display:none} .tab.open{display:block}", "<p class='tab open'>@</p>"),
        (".wide{display:none} @media (min-width:9em){.wide{display:block}}", "<p class='wide'>@</p>"),
        ("@media print{.note{display:none}}", "<p class='note'>@</p>"),
        ("", "<div style='background:#123'><p style='color:white'>@</p></div>"),
        ("", "<div class='dark'><p style='color:#fff'>@</p></div>"),
        ("", "<p style='opacity:0.9; font-size:0.8em; left:-10px; text-indent:-1em'>@</p>"),
        ("", "<div style='overflow:hidden; height:10em'><p>@</p></div>"),
        ("", "<p aria-hidden='false'>@</p>"),
        ("", "<p><span hidden>Secret.</span>@</p>"),
    ],
)
@pytest.mark.parametrize("suffix", [".html", ".md"])
def test_what_is_shown_is_kept(styles, markup, suffix):
    body = f"<p>The quay is long and wide.</p>\n{markup.replace('@', SHOWN)}\n<p>Gulls are loud there.</p>"
    page = f"<html><head><style>{styles}</style></head><body><h1>Quay</h1>{body}</body></html>"
    text = parse_article(page.encode(), Path(f"quay{suffix}")).text
    assert SHOWN in text and "Gulls are loud" in text and "Secret" not in text
