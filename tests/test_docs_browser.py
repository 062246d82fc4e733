"""The book's pages in headless Chromium, as `make book` made them: at a desktop's width and at a phone's."""

import functools
import http.server
import json
import re
import shutil
import threading
import urllib.parse
from pathlib import Path

import pytest

from gluonbook import chapter, notebooks

pytestmark = pytest.mark.book
HTML = Path(__file__).resolve().parent.parent / "docs" / "_build" / "html"
PAGES = sorted(
    path.relative_to(HTML).as_posix()
    for folder in (HTML, HTML / "zh", *(HTML / part / name for part in ("", "zh") for name in ("api", "chapters")))
    for path in folder.glob("*.html")
)
CHAPTERS = [entry.path.stem for entry in chapter.chapters()]
CHROMIUM = [
    *("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
FOUND = {"anchor": ["ch18_ssd", "ch19_yolov3"], "困惑度": ["ch16_rnn_lyrics"]}
TOO_WIDE = """  // what stands beyond the right edge, but in a part that scrolls by itself
const scrolls = e => ["auto", "scroll", "hidden", "clip"].includes(getComputedStyle(e).overflowX);
const inside = e => e.tagName !== "ARTICLE" && (scrolls(e) || inside(e.parentElement));
return [...document.querySelectorAll("article *")]
  .filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !inside(e)).map(e => e.outerHTML.slice(0, 100));
"""
DESKTOP, PHONE = (1440, 900), (390, 844)


@pytest.fixture(scope="module")
def address():
    """Serve the pages on this machine; return their address."""
    assert (HTML / "zh" / "index.html").exists(), "there are no pages: make book makes them"

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(HTML)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Start Chromium, whose console is kept."""
    from selenium import webdriver

    found = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    assert all(found.values()), f"a browser is needed (Debian: chromium and chromium-driver), found {found}"
    options = webdriver.ChromeOptions()
    options.binary_location = found["chromium"]
    for argument in [*CHROMIUM, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"]:
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(found["chromedriver"]))
    driver.set_script_timeout(120)
    yield driver
    driver.quit()


@pytest.fixture
def visit(browser, address):
    """Open a page at a size, with nothing kept from the page before."""

    def visit(page, size=DESKTOP, scheme="light"):
        width, height = size
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": size == PHONE}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        feature = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", feature)
        browser.get_log("browser")
        browser.get(address + page)
        return browser

    return visit


def wait_for(browser, script):
    """Wait until a script returns something, and return it."""
    from selenium.webdriver.support.ui import WebDriverWait

    return WebDriverWait(browser, 20).until(lambda driver: driver.execute_script(script))


def soup(page):
    from bs4 import BeautifulSoup

    return _soup(HTML / page, BeautifulSoup)


@functools.cache
def _soup(path, parser):
    return parser(path.read_text(encoding="utf-8"), "html.parser")


def axe_faults(browser, context="document", rules=None):
    """Return what axe-core finds that is serious: rule, why, and the first places."""
    import axe_core_python

    if not browser.execute_script("return typeof axe === 'object'"):
        browser.execute_script((Path(axe_core_python.__file__).parent / "axe.min.js").read_text(encoding="utf-8"))
    settings = json.dumps({"runOnly": rules} if rules else {})
    found = browser.execute_async_script(f"axe.run({context}, {settings}).then(arguments[arguments.length - 1])")
    assert found["passes"], "axe-core looked at nothing"
    return [
        (fault["id"], fault["help"], [node["html"][:120] for node in fault["nodes"][:3]])
        for fault in found["violations"]
        if fault["impact"] in ("serious", "critical")
    ]


def test_both_languages_have_the_same_pages():
    english = {page for page in PAGES if not page.startswith("zh/")}
    assert english == {page[3:] for page in PAGES if page.startswith("zh/")}
    assert {f"chapters/{name}.html" for name in CHAPTERS} < english
    assert {"index.html", "claims.html", "errata.html", "glossary.html", "search.html", "api/index.html"} < english


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
@pytest.mark.parametrize("page", PAGES)
def test_page_loads_whole_and_fits_the_screen(page, size, visit, address):
    browser = visit(page, size)
    assert browser.find_elements("css selector", "article section h1, article #search-results, article h1")
    assert [line for line in browser.get_log("browser") if line["level"] in ("SEVERE", "WARNING")] == []
    missing = "return [...document.images].filter(i => !i.complete || i.naturalWidth === 0).map(i => i.src)"
    assert browser.execute_script(missing) == []
    loaded = browser.execute_script("return performance.getEntriesByType('resource').map(e => e.name)")
    assert loaded
    assert [name for name in loaded if not name.startswith((address, "data:"))] == []
    if size == DESKTOP:  # on a phone the list of a page's sections waits beside the screen
        rights = [part.rect["x"] + part.rect["width"] for part in browser.find_elements("css selector", ".toc-drawer")]
        assert max(rights) <= size[0]
    assert browser.execute_script(TOO_WIDE) == []
    widths = browser.execute_script("const e = document.documentElement; return [e.scrollWidth, innerWidth]")
    assert widths[0] <= widths[1] == size[0]


ENGLISH = [page for page in PAGES if not page.startswith("zh/")]
CHINESE = [f"zh/{page}" for page in ("index.html", "chapters/ch16_rnn_lyrics.html", "chapters/ch15_bptt.html")]
BUT_CODE = "{exclude: [['.highlight']]}"  # thousands of words; one test below has them


@pytest.mark.parametrize("page", ENGLISH + CHINESE)
def test_axe_finds_no_serious_fault(page, visit):
    assert axe_faults(visit(page), BUT_CODE) == []


@pytest.mark.parametrize("page", ENGLISH)
def test_axe_finds_enough_contrast_in_the_dark(page, visit):
    assert axe_faults(visit(page, scheme="dark"), BUT_CODE, ["color-contrast"]) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_enough_contrast_in_code(scheme, visit):
    assert axe_faults(visit("chapters/ch16_rnn_lyrics.html", scheme=scheme)) == []


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_axe_sees_a_fault_that_is_there(size, visit):
    browser = visit("index.html", size)
    browser.execute_script("document.querySelector('.pictures img').removeAttribute('alt')")
    assert "image-alt" in [rule for rule, _, _ in axe_faults(browser)]


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    lost = []
    for link in soup(page).select("a[href]"):
        target = urllib.parse.urlsplit(link["href"])
        if target.scheme or target.netloc:
            continue
        path = (HTML / page).parent / urllib.parse.unquote(target.path) if target.path else HTML / page
        path = path.resolve()
        fragment = urllib.parse.unquote(target.fragment)
        if not path.is_file():
            lost.append(link["href"])
        elif fragment and path.suffix == ".html":
            found = soup(path.relative_to(HTML).as_posix()).find(id=fragment)
            lost += [] if found else [link["href"]]
    assert lost == []


@pytest.mark.parametrize("page", ["index.html", "chapters/ch16_rnn_lyrics.html", "api/detection.html", "genindex.html"])
def test_language_switch_lands_on_the_same_page(page, visit):
    browser = visit(page)
    for language, there in (("中文", f"zh/{page}"), ("English", page)):
        browser.find_element("link text", language).click()
        wait_for(browser, "return document.readyState === 'complete'")
        assert urllib.parse.urlsplit(browser.current_url).path == f"/{there}"
    assert browser.execute_script("return document.documentElement.lang") == "en"


@pytest.mark.parametrize("page", PAGES)
def test_every_page_leads_to_itself_in_the_other_language(page):
    there = page[3:] if page.startswith("zh/") else f"zh/{page}"
    links = [link["href"] for link in soup(page).select(".languages a")]
    assert [((HTML / page).parent / link).resolve() for link in links] == [(HTML / there).resolve()]


@pytest.mark.parametrize("page", PAGES)
def test_page_shows_no_warning_and_no_path_of_the_machine(page):
    text = soup(page).get_text()
    assert "UserWarning" not in "".join(out.get_text() for out in soup(page).select(".sphx-glr-script-out"))
    assert str(HTML.parent.parent.parent) not in text
    assert str(Path.home()) not in text


def test_translated_pages_are_chinese_and_others_say_that_they_are_not():
    for page in ("index", "chapters/ch16_rnn_lyrics", "chapters/ch20_style_transfer"):
        article = soup(f"zh/{page}.html").select_one("article")
        texts = [element.get_text().replace("gluonbook", "") for element in article.select("p, li, h1, h2, dt, dd")]
        english = [text for text in texts if re.search("[A-Za-z]{3}", text)]
        assert [text for text in english if not re.search("[\u4e00-\u9fff]", text)] == []
        assert soup(f"zh/{page}.html").select(".untranslated") == []
    assert soup("zh/chapters/ch15_bptt.html").select(".untranslated")


@pytest.mark.parametrize("prefix", ["", "zh/"])
@pytest.mark.parametrize(("word", "chapters"), FOUND.items())
def test_search_finds(prefix, word, chapters, visit):
    browser = visit(f"{prefix}index.html")
    box = browser.find_element("css selector", ".sidebar-search")
    box.send_keys(word)
    box.submit()
    # results come one by one, and the summary is empty until the last one is there
    wait_for(browser, "return document.querySelector('#search-results .search-summary')?.textContent.trim()")
    found = browser.execute_script("return [...document.querySelectorAll('ul.search li a')].map(a => a.href)")
    for name in [*chapters, "glossary"]:
        assert any(name in address for address in found), found


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_button_changes_the_theme(scheme, visit):
    background = "return getComputedStyle(document.body).backgroundColor"
    browser = visit("index.html", scheme=scheme)
    seen = set()
    for _ in range(3):
        seen.add(browser.execute_script(background))
        browser.find_element("css selector", ".theme-toggle-content .theme-toggle").click()
    assert len(seen) == 2


def test_front_page_answers_in_one_screen(visit):
    browser = visit("index.html")
    (article,) = browser.find_elements("css selector", "article > section")
    assert article.rect["y"] + article.rect["height"] <= DESKTOP[1]
    pictures = browser.execute_script("return [...document.querySelectorAll('.pictures img')].map(i => i.naturalWidth)")
    assert len(pictures) == 3
    assert min(pictures) > 0
    linked = {link["href"] for link in soup("index.html").select(".finder a")}
    assert linked == {f"chapters/{name}.html" for name in CHAPTERS}


@pytest.mark.parametrize("name", CHAPTERS)
def test_formulas_are_typeset(name, visit):
    text = (HTML / f"chapters/{name}.html").read_text(encoding="utf-8")
    source = next(entry.path for entry in chapter.chapters() if entry.path.stem == name).read_text(encoding="utf-8")
    assert text.count('display="block"') == source.count("\n# $$\n") // 2
    formulas = visit(f"chapters/{name}.html").find_elements("css selector", "math")
    assert all(formula.rect["height"] > 8 for formula in formulas)
    assert "<merror" not in text
    assert "$$" not in soup(f"chapters/{name}.html").get_text()


def test_a_fraction_stands_over_its_denominator(visit):
    over, under = visit("chapters/ch01_backprop.html").execute_script(
        "return [...document.querySelector('mfrac').children].map(c => c.getBoundingClientRect().bottom)"
    )
    assert over < under
    fonts = "return [...document.fonts].filter(f => f.status === 'loaded').map(f => f.family)"
    assert "STIX Two Math" in str(wait_for(visit("chapters/ch01_backprop.html"), fonts))


@pytest.mark.parametrize("claim", ["1.1", "16.5", "21.2"])
def test_a_claim_leads_to_its_line(claim, visit):
    browser = visit("claims.html")
    link = browser.find_element("link text", claim)
    browser.execute_script("arguments[0].click()", link)
    place = f"document.getElementById('claim-{claim}')?.getBoundingClientRect().top"
    wait_for(browser, f"return document.readyState === 'complete' && {place} >= 0 && {place} < {DESKTOP[1]}")
    assert claim in browser.find_element("id", f"claim-{claim}").text


@pytest.mark.parametrize("name", CHAPTERS)
def test_downloads_are_the_script_and_its_notebook(name):
    entry = next(entry for entry in chapter.chapters() if entry.path.stem == name)
    links = [link["href"] for link in soup(f"chapters/{name}.html").select("a.download, a.reference.download")]
    script, made = (((HTML / "chapters") / link).resolve() for link in links)
    assert script.read_bytes() == entry.path.read_bytes()
    assert json.loads(made.read_text(encoding="utf-8")) == notebooks.notebook(entry.path)


def test_every_chapter_has_a_thumbnail():
    pictures = soup("chapters/index.html").select(".sphx-glr-thumbcontainer img")
    names = [Path(picture["src"]).name for picture in pictures]
    assert names == [f"sphx_glr_{name}_thumb.png" for name in CHAPTERS]
    contents = {((HTML / "chapters") / picture["src"]).resolve().read_bytes() for picture in pictures}
    assert len(contents) == len(CHAPTERS)  # none is the stand-in for a chapter without a figure
