"""The status page as HTML, from one snapshot. Pure.

The script fetches this very page again and puts its parts in place, so that what is shown is made,
and escaped, in one place; without a script the browser loads it anew every half minute.
"""

from collections.abc import Iterator

from hps.monitor.events import Waiting
from hps.monitor.history import Past, seconds
from hps.monitor.journal_record import timestamp
from hps.monitor.page.markup import Markup, element, joined
from hps.monitor.status import ModelStatus, MonitorStatus, Pending, commands
from hps.monitor.transitions import Phase
from hps.monitor.words import (
    Mood,
    doing,
    headline,
    lasted,
    named,
    news,
    outcome,
    reason,
    trusted,
)
from hps.monitor.words import advice as advised

_MARKS = {Mood.GOOD: "✓", Mood.BUSY: "↻", Mood.LOOK: "!", Mood.BAD: "✕"}
_URGENCY = {Mood.BAD: 0, Mood.LOOK: 1, Mood.BUSY: 2, Mood.GOOD: 2}
_OPEN = 6  # so many models are shown whole
_PERIOD = 30  # seconds


def page(status: MonitorStatus) -> str:
    """The document."""
    return "<!DOCTYPE html>\n" + element(
        "html",
        _head(status),
        element("body", _header(status), _main(status), _footer(status)),
        lang="en",
    )


def _head(status: MonitorStatus) -> Markup:
    looks = sum(one.needs_attention(status.now) for one in status.models)
    title = f"{f'({looks}) ' if looks else ''}Models on {status.host}"
    return element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("noscript", element("meta", http_equiv="refresh", content=str(_PERIOD))),
        element("title", title),
        element("link", rel="icon", href="icon.svg"),
        element("link", rel="stylesheet", href="page.css"),
        element("script", src="page.js", defer=True),
    )


def _header(status: MonitorStatus) -> Markup:
    return element(
        "header",
        element("h1", "Models on ", element("bdi", status.host)),
        element("p", _summary(status), id="summary", role="status"),
        element("p", id="away", role="alert", hidden=True),
    )


def _summary(status: MonitorStatus) -> str:
    total = len(status.models)
    looks = sum(one.needs_attention(status.now) for one in status.models)
    bad = len(status.unready)
    models = f"{total} model{'s' * (total != 1)}"
    if bad:
        return f"{models}: {bad} not served, {looks} to look at."
    if looks:
        return f"{models}: all served, {looks} to look at."
    return f"{models}: all served, nothing to look at."


def _main(status: MonitorStatus) -> Markup:
    if not status.models:
        return element("main", element("p", "No models are watched."), id="models")
    # The most urgent first; else the order of names, which stays.
    ordered = sorted(status.models, key=lambda one: _URGENCY[headline(one, status.now).mood])
    few = len(ordered) <= _OPEN
    return element(
        "main",
        *(_model(one, status.now, few=few) for one in ordered),
        id="models",
    )


def _model(model: ModelStatus, now: float, *, few: bool) -> Markup:
    state = headline(model, now)
    attention = model.needs_attention(now)
    return element(
        "article",
        element(
            "details",
            element(
                "summary",
                element("h2", element("bdi", model.name)),
                element(
                    "span",
                    element("span", _MARKS[state.mood], aria_hidden="true"),
                    f" {state.words}",
                    class_=f"mood {state.mood}",
                ),
                element("span", _live_line(model, now), class_="line"),
            ),
            *_notices(model, now),
            _facts(model, now),
            _history(model),
            open=few or attention,
        ),
        class_="attention" if attention else None if few else "calm",
        id=f"model-{model.name}",
    )


def _live_line(model: ModelStatus, now: float) -> Markup:
    live = model.live
    if live is None:
        return joined("nothing has gone live yet")
    what = f"generation {live.number}: {named(live.release)}"
    if not model.ready:
        return joined(f"should serve {what}")
    ago = "" if live.since is None else f" for {lasted(now - live.since)}"
    return joined(f"live{ago}, {what}")


def _notices(model: ModelStatus, now: float) -> Iterator[Markup]:
    """What a person should read first, each with what can be done about it."""
    seen = model.observed
    serves_on = " What is live serves on." if model.ready else ""
    if not model.ready:
        yield _not_served(model)
    if seen.mishap is not None:
        words = f"{_sentence(reason(seen.mishap.reason))}{serves_on}"
        yield _notice(Mood.LOOK, words, seen.mishap.detail, seen.mishap.reason, at=seen.mishap.time)
    if model.is_stale(now):
        age = model.age(now)
        words = (
            "No manifest was ever verified."
            if age is None
            else f"No manifest was verified for {lasted(age)}."
        )
        yield _notice(
            Mood.LOOK,
            f"{words} Somebody may hold new releases back.",
            advice="compare with what its publisher has released",
        )
    if model.pending is not None:
        yield from _pending(model.pending)
    elif model.refused is not None:
        yield _refused(model.refused, serves_on)
    for what, command in commands(model).items():
        yield element(
            "p",
            f"To {what}: ",
            element("code", f"hps monitor {command}", class_="copied"),
            class_="command",
        )


def _not_served(model: ModelStatus) -> Markup:
    if model.live is None:
        came = f" The last look: {news(model.observed.news)}." if model.observed.news else ""
        return _notice(
            Mood.BAD,
            f"Nothing has gone live yet.{came}",
            advice="publish the model, and its donefile last" if model.pending is None else "",
        )
    if model.observed.serving is False:
        words = "The model server does not serve the live generation."
    else:
        words = "The model server does not answer. Nobody knows whether users are served."
    return _notice(Mood.BAD, words, advice="look at the model server and its log")


def _pending(pending: Pending) -> Iterator[Markup]:
    number = pending.number
    if pending.waiting is Waiting.APPROVAL:
        yield _notice(Mood.LOOK, f"Generation {number} is whole and verified. It waits for you.")
    elif pending.waiting is Waiting.RELEASE:
        yield _notice(Mood.BUSY, f"Generation {number} is ready, and held back by a person.")
    elif pending.reason:
        words = f"Generation {number} is not live: {reason(pending.reason)}. It is tried again."
        yield _notice(
            Mood.LOOK, words, pending.detail, pending.reason, at=pending.until, past=False
        )
    else:
        yield _notice(Mood.BUSY, f"Generation {number} is {doing(pending.phase)}.")


def _refused(row: Past, serves_on: str) -> Markup:
    how = "was refused" if row.phase == Phase.REFUSED else "was undone"
    words = f"Generation {row.number} {how}: {reason(row.reason)}.{serves_on}"
    return _notice(Mood.LOOK, words, row.detail, row.reason, at=seconds(row.ended))


def _notice(
    mood: Mood,
    words: str,
    detail: str = "",
    code: str = "",
    *,
    at: float | None = None,
    past: bool = True,
    advice: str = "",
) -> Markup:
    parts: list[str] = [element("strong", words)]
    if code or at is not None:
        inner: list[str] = [element("code", code)] if code else []
        if at is not None:
            inner += [" at " if past else " again at ", _time(at)]
        parts.append(element("span", *inner, class_="when"))
    if detail:
        parts.append(element("span", element("bdi", detail), class_="detail"))
    if todo := advice or advised(code):
        parts.append(element("span", "What to do: ", *_with_code(f"{todo}."), class_="todo"))
    return element("div", *parts, class_=f"notice {mood}")


def _with_code(text: str) -> Iterator[str]:
    """What stands between backticks as code."""
    for number, part in enumerate(text.split("`")):
        yield element("code", part) if number % 2 else part


def _facts(model: ModelStatus, now: float) -> Markup:
    seen, live = model.observed, model.live
    rows: list[tuple[str, Markup]] = []
    if live is not None:
        rows.append(("Live since", _time(live.since, now)))
        rows.append(("Trust", joined(trusted(live.release) or "unknown")))
        digest = live.release.digest if live.release is not None else ""
        rows.append(("Content", element("code", digest or live.identity)))
    if seen.members:
        rows.append(("Go live together", joined(", ".join(seen.members))))
    rows.append(("Source", element("bdi", seen.source)))
    rows.append(("Model server", element("bdi", seen.server)))
    found = f": {news(seen.news)}" if seen.news else ""
    rows.append(("Last look", joined(_time(seen.looked, now), found)))
    if seen.next_look is not None:
        ahead = seen.next_look - now
        rows.append(("Next look", joined(f"in {lasted(ahead)}" if ahead > 0 else "now")))
    rows.append(("Manifest verified", _time(seen.verified, now)))
    rows.append(("Can go back to", _way_back(model)))
    pairs = (element("div", element("dt", name), element("dd", value)) for name, value in rows)
    return element("dl", *pairs)


def _way_back(model: ModelStatus) -> Markup:
    if not model.kept:
        return joined("none")
    kept = ", ".join(f"generation {one}" for one in reversed(model.kept))
    command = f"hps monitor rollback {model.name}"
    return joined(kept, " ", element("code", command, class_="copied"))


def _history(model: ModelStatus) -> Markup:
    if not model.history:
        return element("p", "No updates yet.", class_="none")
    head = ("When", "Generation", "Release", "What became of it")
    return element(
        "div",
        element(
            "table",
            element("caption", "The last updates"),
            element("thead", element("tr", *(element("th", one, scope="col") for one in head))),
            element("tbody", *map(_row, model.history)),
        ),
        class_="scroll",
        tabindex="0",
        role="region",
        aria_label=f"The last updates of {model.name}",
    )


def _row(row: Past) -> Markup:
    release = row.release
    number = "" if release is None or release.sequence is None else str(release.sequence)
    version = release.version if release is not None else ""
    what: list[str] = [outcome(row)]
    if row.reason:
        what += [": ", reason(row.reason), " ", element("code", row.reason)]
    if row.detail:
        what.append(element("span", element("bdi", row.detail), class_="detail"))
    return element(
        "tr",
        element("td", _time(seconds(row.ended))),
        element("td", str(row.number)),
        element("td", number, *([" ", element("bdi", version)] if version else [])),
        element("td", *what),
        class_=_row_mood(row),
    )


def _row_mood(row: Past) -> Mood:
    if not row.over:
        return Mood.BUSY
    return Mood.GOOD if row.phase == Phase.LIVE else Mood.LOOK


def _footer(status: MonitorStatus) -> Markup:
    return element(
        "footer",
        element(
            "p",
            "As of ",
            _time(status.now),
            f", hps {status.version}, started ",
            _time(status.started),
            ". ",
            element("a", "status as JSON", href="status"),
            ", ",
            element("a", "metrics", href="metrics"),
            ".",
        ),
        id="as-of",
    )


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


def _time(moment: float | None, now: float | None = None) -> Markup:
    """A time with seconds and zone, and how long ago that is."""
    if moment is None:
        return joined("unknown")
    stamp = timestamp(moment)
    shown = f"{stamp[:10]} {stamp[11:19]} UTC"
    ago = "" if now is None else f" ({lasted(now - moment)} ago)"
    return joined(element("time", shown, datetime=stamp), ago)
