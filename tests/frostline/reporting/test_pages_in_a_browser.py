"""The report page in a browser: it fits, decodes, loads nothing, and says what is not there."""

import html
import json
import re
import shutil
import subprocess

import pytest

from frostline.reporting import pages

from tests.support import reports

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
QUIET = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
HOSTILE = (
    '<script>document.title="owned"</script>',
    "\"'><img src=x onerror=alert(1)>",
    "{{ 7 * 7 }}",
    "a" * 120,
    "&amp;",
)
SECTIONS = [
    "decision", "graph", "plan", "training", "metrics", "champion", "history", "confusion", "calibration", "slices",
    "classes", "mistakes", "serving",
]  # fmt: skip
MEASURE = """
<script>
addEventListener("load", () => {
  const box = document.documentElement, images = [...document.images];
  parent.document.title = JSON.stringify({
    width: innerWidth, overflow: box.scrollWidth - box.clientWidth, title: document.title, errors: window.errors,
    sections: [...document.querySelectorAll("section")].map(s => s.id),
    empty: [...document.querySelectorAll("section")].filter(s => s.getBoundingClientRect().height < 40).map(s => s.id),
    images: images.length, broken: images.filter(i => !(i.complete && i.naturalWidth > 0)).length,
    requests: performance.getEntriesByType("resource").map(r => r.name).filter(name => !name.startsWith("data:")),
    scripts: document.scripts.length,
    cut: [...document.querySelectorAll(".side .scroll")].filter(s => s.scrollWidth > s.clientWidth).length,
    background: getComputedStyle(document.body).backgroundColor, ink: getComputedStyle(document.body).color,
  });
});
</script>
"""
WATCH = """
<script>
window.errors = [];
addEventListener("error", event => errors.push(String(event.message || event.target)), true);
</script>
"""


@pytest.fixture(scope="module")
def browser():
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    assert found, f"no browser: install one of {', '.join(BROWSERS)} (Debian: apt-get install chromium)"
    return found


def page(path, evaluation=None, **changed):
    """A run page with everything on it, unless `changed`; its text."""
    context = {
        "model_name": "flowers",
        "plan": reports.plan(),
        "history": reports.HISTORY,
        "sentences": ["29 of 30 passes saved."],
        "evaluation": evaluation or reports.evaluation(),
        "worst": reports.worst(),
        "decision": reports.decision(),
    }
    pages.run_page(path, **{**context, **changed})
    return path.read_text()


CLICK = """
<script>
addEventListener("load", () => {
  document.querySelector('nav a[href="#serving"]').click();
  const top = document.querySelector("#serving").getBoundingClientRect().top;
  const found = {scrolled: scrollY > 0, seen: top < innerHeight, parent: parent.location.hash};
  parent.document.title = JSON.stringify(found);
});
</script>
"""


def look(browser, tmp_path, text, width, scheme="light", measure=MEASURE):
    """What the page measures of itself in a frame of that width: a browser's own window is never so narrow."""
    copy = text.replace("<head>", f"<head>{WATCH}", 1).replace("</body>", f"{measure}</body>")
    frame = f'<iframe width="{width}" height="900" srcdoc="{html.escape(copy)}"></iframe>'
    (tmp_path / "frame.html").write_text(f"<!doctype html><meta charset=utf-8><title></title><body>{frame}")
    dark = ["--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []
    profile = f"--user-data-dir={tmp_path / 'profile'}"
    command = [
        browser,
        *QUIET,
        *dark,
        profile,
        "--window-size=1400,1000",
        "--dump-dom",
        f"file://{tmp_path}/frame.html",
    ]
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    return json.loads(html.unescape(re.search("<title>(.*?)</title>", dom, re.S)[1]))


@pytest.mark.parametrize("width", [375, 700, 1200])  # of a phone, a sheet of paper, a desk
def test_the_page_fits_its_window_and_needs_nothing_but_itself(browser, tmp_path, width):
    found = look(browser, tmp_path, page(tmp_path / "run.html"), width)
    assert found["width"] == width
    assert found["overflow"] == 0
    assert found["cut"] == 0 or width == 375  # there, tables scroll
    assert found["sections"] == SECTIONS
    assert found["empty"] == found["errors"] == found["requests"] == []
    assert (found["images"], found["broken"]) == (8, 0)
    assert found["scripts"] == 2  # the test's own


def test_a_link_to_a_section_scrolls_in_a_frame_without_an_address(browser, tmp_path):
    """As Kubeflow shows the page; there, the address of a link is that of the page around the frame."""
    found = look(browser, tmp_path, page(tmp_path / "run.html"), 700, measure=CLICK)
    assert found == {"scrolled": True, "seen": True, "parent": ""}


def test_hostile_names_stay_text_and_do_not_widen_a_phones_page(browser, tmp_path):
    evaluation = reports.evaluation(HOSTILE, HOSTILE)
    evaluation["champion"]["new_labels"] = list(HOSTILE)
    decision = reports.decision("hold", reason=HOSTILE[1] + "b" * 300, notes=list(HOSTILE))
    text = page(
        tmp_path / "run.html", evaluation, worst=reports.worst(HOSTILE), decision=decision, model_name=HOSTILE[0],
        sentences=HOSTILE, plan=reports.plan(backbone=HOSTILE[1]),
    )  # fmt: skip
    assert "<script" not in text
    found = look(browser, tmp_path, text, 375)
    assert found["title"].startswith("Run: <script>")
    assert (found["scripts"], found["images"], found["broken"], found["overflow"]) == (2, 8, 0, 0)
    assert found["errors"] == found["requests"] == []


def test_the_page_follows_the_readers_light_or_dark(browser, tmp_path):
    text = page(tmp_path / "run.html")
    light, dark = (look(browser, tmp_path, text, 800, scheme) for scheme in ("light", "dark"))
    assert light["background"] == "rgb(255, 255, 255)"
    assert dark["background"] == "rgb(16, 23, 31)"
    assert light["ink"] != dark["ink"]


def test_no_address_is_in_the_page(tmp_path):
    text = re.sub(r"data:image/[a-z]+;base64,[A-Za-z0-9+/=]+", "", page(tmp_path / "run.html"))
    assert not re.findall(r"https?://|url\(|@import|<link|<script|<iframe", text)
    assert set(re.findall(r'(?:src|href)="(.*?)"', text)) == {"", *(f"#{name}" for name in SECTIONS[1:])}


@pytest.mark.parametrize(("verdict", "taken"), [("promote", "push"), ("hold", "hold"), ("inconclusive", "hold")])
def test_what_release_did_stands_out_and_the_verdict_is_told_in_words(tmp_path, verdict, taken):
    text = page(tmp_path / "run.html", decision=reports.decision(verdict, examples_needed=None))
    assert re.findall(r">release</text>.*?>(push|hold)</text>", text, re.S) == [taken]
    assert ('<g class="taken">' in text) == (taken == "push")
    assert verdict.capitalize() in re.search(r'class="banner">(.*?)</div>', text, re.S)[1]


def test_what_would_change_the_decision_is_beside_it(tmp_path):
    text = page(tmp_path / "run.html", decision=reports.decision("inconclusive"))
    assert "About 1,400 test images would be needed to decide." in text
    assert "A person must approve it" not in text
    text = page(tmp_path / "run.html", decision=reports.decision("promote", approval="required"))
    assert "A person must approve it before it becomes the champion." in text


def test_an_evaluation_has_no_decision_and_no_branch(tmp_path):
    text = page(tmp_path / "run.html", decision=None)
    assert re.findall('<section id="(.*?)"', text) == SECTIONS[2:]
    assert 'class="banner"' not in text
    assert 'href="#graph"' not in text


def test_what_is_absent_is_said_in_a_sentence(tmp_path):
    evaluation = reports.evaluation(
        champion=None, slices=[], reliability=[], skew={"images": 0, "agreement": 0.0, "max_difference": 0.0},
        test_split={"digest": "e" * 64, "promotions": 0}, reference=None, chain=[],
    )  # fmt: skip
    text = page(tmp_path / "run.html", evaluation, worst=[], history=[], sentences=[])
    for sentence in (
        "There are no epochs to plot.", "There is no champion yet.",
        "This is the first evaluation under this model name.",
        "There are no predictions to group into bins.", "No earlier model was evaluated on these test images.",
        "The images have no metadata", "The model made no mistakes", "input path were not compared.",
        "No earlier model was evaluated on these test images.",
    ):  # fmt: skip
        assert sentence in text
    assert re.findall('<section id="(.*?)"', text) == SECTIONS


def test_a_champion_that_cannot_be_compared_has_its_reason_there(tmp_path):
    champion = {"version": 3, "comparable": False, "reason": "it knows labels that this model lacks (olive)"}
    text = page(tmp_path / "run.html", reports.evaluation(champion=champion))
    assert "Version 3 cannot be compared: it knows labels that this model lacks (olive)" in text


def test_the_greatest_loss_against_the_champion_comes_first(tmp_path):
    champion = reports.champion()
    text = page(tmp_path / "run.html", reports.evaluation(champion=champion))
    table = text[text.index("By slice") : text.index('id="history"')]
    shown = [
        value for value in re.findall(r'<td class="name">(.*?)</td>', table) if value not in ("true label", "camera")
    ]
    ordered = sorted(champion["slices"], key=lambda one: one["difference"]["value"])
    assert shown == [one["value"] for one in ordered]


def test_many_classes_are_a_list_of_what_is_confused_most(tmp_path):
    labels = [f"class-{n}" for n in range(21)]
    evaluation = reports.evaluation(labels, champion=None)
    evaluation["confusion"][4][17] = 96
    text = page(tmp_path / "run.html", evaluation, worst=[])
    part = text[text.index('id="confusion"') : text.index('id="calibration"')]
    assert re.findall(r'<td class="name">(.*?)</td>', part)[:2] == ["class-4", "class-17"]
    assert part.count("<tr>") == 21
    assert 'class="confusion' not in part
    text = page(tmp_path / "run.html", reports.evaluation(labels[:20], champion=None), worst=[])
    assert 'class="confusion' in text


def test_an_image_that_the_model_was_made_with_is_told_in_red(tmp_path):
    text = page(tmp_path / "run.html", reports.evaluation(leaked=2))
    assert '<b class="bad">2 test images were in the training' in text
    assert "No test image was in" not in text


def test_the_dot_of_an_interval_lies_where_its_value_says(tmp_path):
    accuracy = {"value": 0.5, "low": 0.25, "high": 1.0, "method": "wilson"}
    slices = [{"column": "site", "value": "", "examples": 9, "accuracy": accuracy}]
    evaluation = reports.evaluation(slices=slices)
    text = page(tmp_path / "run.html", evaluation)
    part = text[text.index('id="slices"') : text.index('id="classes"')]
    assert '<i style="left:25.0%;right:0.0%"></i><b style="left:50.0%"></b>' in part
    assert "(none)" in part
