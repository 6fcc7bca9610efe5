"""The report of 14,000 slices in a browser: its size, and how long a person waits for what the pointer asks."""

from pathlib import Path
from statistics import median

from benchmarks.figures import Figure
from benchmarks.measure import repeated
from clio_argo.report.html import report_html
from clio_argo.report.script import script, style
from tests.browser import Browser, Page
from tests.report.example import example

SLICES, QUICK = 14_000, 300
DRAWN = "document.readyState === 'complete' && document.querySelectorAll('.chart canvas').length === 6"
# one frame of a screen, and what people take for at once
FRAME_MS, AT_ONCE_MS = 17, 100
# milliseconds of each of twenty events on a plot, until what it changes is drawn
EVENTS = """(async () => {
  const over = document.querySelectorAll('.u-over')[1], times = [];
  over.scrollIntoView({block: 'center'});
  const {x, y, width} = over.getBoundingClientRect(), drawn = () => new Promise(done => requestAnimationFrame(() => {
    const channel = new MessageChannel();  // asked for behind what the frame draws
    channel.port1.onmessage = done;
    channel.port2.postMessage(null);
  }));
  for (let i = 0; i < 20; i++) {
    await drawn();
    const more = {bubbles: true, cancelable: true, clientX: x + width * (0.1 + i / 25), clientY: y + 50};
    const start = performance.now();
    over.dispatchEvent(%s);
    %s
    times.push(performance.now() - start);
  }
  return times;
})()"""
MOVE = EVENTS % ("new MouseEvent('mousemove', more)", "document.body.offsetHeight;")
ZOOM = EVENTS % ("new WheelEvent('wheel', {...more, ctrlKey: true, deltaY: i % 2 ? -30 : 30})", "await drawn();")


def measure(work: Path, quick: bool) -> list[Figure]:
    """Bytes and CPU seconds of the page, and milliseconds of what a person does there."""
    data = example(QUICK if quick else SLICES, bad_every=101, broken=True)
    made = repeated(lambda: report_html(data))
    page = report_html(data)
    (work / "report.html").write_text(page, encoding="utf-8")
    begin = page.index('<script type="application/json"')
    grown = len(page[begin:].encode()) + len(style().encode())
    with Browser() as browser:
        shown = browser.open((work / "report.html").as_uri())
        shown.wait(DRAWN)
        move, zoom = _typical(shown, MOVE), _typical(shown, ZOOM)
    return [
        Figure("bytes of the page", len(page.encode()) / 1e6, "MB"),
        Figure(
            "of them for the script", grown / 1e6, "MB", 1, note=f"{len(script()) / 1e6:.2f} MB are the script itself"
        ),
        Figure("writing the page", made.cpu_s, "CPU s"),
        Figure("the pointer moves", move, "ms", FRAME_MS, note="median; six plots and what they tell"),
        Figure("a step of zooming", zoom, "ms", AT_ONCE_MS, note="median; six plots, drawn without a graphics card"),
    ]


def _typical(page: Page, events: str) -> float:
    return median(page.evaluate(events))
