// Fetches the page again and puts its parts in place. What is shown was escaped by the server.
"use strict";

const PERIOD = 5000; // milliseconds
const shown = new Map(); // id of an article -> its HTML as it came
let reached = Date.now();

function isBeingRead() {
  const selection = document.getSelection();
  return document.hidden || (selection !== null && !selection.isCollapsed);
}

function takeOver(old, fresh) {
  if (old === null) return fresh;
  // A person has opened or closed it: it stays so, unless it has become something to look at.
  if (old.className === fresh.className) {
    fresh.querySelector("details").open = old.querySelector("details").open;
  }
  return fresh;
}

function replaceModels(next) {
  const focused = document.activeElement && document.activeElement.closest("article");
  const parts = [...next.querySelector("#models").children].map((fresh) => {
    const old = fresh.id && document.getElementById(fresh.id);
    const html = fresh.outerHTML;
    if (old && shown.get(fresh.id) === html) return old;
    shown.set(fresh.id, html);
    return takeOver(old || null, document.adoptNode(fresh));
  });
  document.getElementById("models").replaceChildren(...parts);
  const again = focused && document.getElementById(focused.id);
  if (again && !again.contains(document.activeElement)) again.querySelector("summary").focus();
}

function replaceText(next) {
  const summary = document.getElementById("summary");
  const words = next.getElementById("summary").textContent;
  if (summary.textContent !== words) summary.textContent = words; // it is read aloud when it changes
  document.getElementById("as-of").replaceWith(document.adoptNode(next.getElementById("as-of")));
  document.title = next.title;
}

function tellAway(error) {
  const away = document.getElementById("away");
  // A text that stays: an alert that counts seconds would be read aloud every time.
  const since = new Date(reached).toISOString().slice(11, 19);
  const words = error && `The monitor has not answered since ${since} UTC; what is shown is old.`;
  away.hidden = error === null;
  if (away.textContent !== (words || "")) away.textContent = words;
}

async function refresh() {
  if (isBeingRead()) return;
  try {
    const answer = await fetch("./", { cache: "no-store", signal: AbortSignal.timeout(2 * PERIOD) });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const next = new DOMParser().parseFromString(await answer.text(), "text/html");
    reached = Date.now();
    replaceModels(next);
    replaceText(next);
    tellAway(null);
  } catch (error) {
    tellAway(error);
  }
}

async function keepFresh() {
  await refresh();
  setTimeout(keepFresh, PERIOD);
}

setTimeout(keepFresh, PERIOD);
document.addEventListener("visibilitychange", () => void refresh());
