// Searches as somebody types. Whatever comes from texts is put in by
// textContent: it never becomes markup.
"use strict";

const WAIT = 120; // ms after a key
const HITS = 10;
const MISSED = 5; // relevant passages besides these that are named
const KEPT = "prod_jax.theme";

// Theme, before anything is drawn.

function kept() {
  try { return localStorage.getItem(KEPT); } catch { return null; }
}

function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen
    ? chosen === "dark"
    : matchMedia("(prefers-color-scheme: dark)").matches;
}

if (kept() === "dark" || kept() === "light") {
  document.documentElement.dataset.theme = kept();
}

// Elements.

const byId = (id) => document.getElementById(id);

function element(name, text = "", kind = "") {
  const made = document.createElement(name);
  made.textContent = text;
  if (kind) made.className = kind;
  return made;
}

// What is shown.

const state = { students: [], examples: [], at: 0, query: "" };
const columns = {};
let timer = 0;

class Column {
  // A list of passages by one system.
  constructor(id) {
    this.section = byId(id);
    this.said = this.section.querySelector(".said");
    this.list = this.section.querySelector(".hits");
    this.missed = this.section.querySelector(".missed");
    this.running = null;
  }

  clear() {
    if (this.running) this.running.abort();
    this.list.replaceChildren();
    this.list.classList.remove("old");
    this.said.textContent = this.missed.textContent = "";
  }

  // Asks, and shows the answer unless another question came after this one.
  async ask(query, system, before, moved) {
    if (this.running) this.running.abort();
    const running = this.running = new AbortController();
    this.list.classList.add("old");
    const asked = new URLSearchParams({ q: query, system, k: HITS });
    if (before) asked.set("before", before);
    let answer;
    try {
      answer = await get(`api/search?${asked}`, running.signal);
    } catch (error) {
      if (running === this.running && error.name !== "AbortError") {
        this.clear();
        this.said.textContent = error.message;
        say(error.message, true);
      }
      return null;
    }
    if (running !== this.running) return null;
    this.list.classList.remove("old");
    this.show(answer, moved);
    return answer;
  }

  show(answer, moved) {
    const hits = answer.hits.map((hit) => this.hit(hit, answer, moved));
    this.list.replaceChildren(...hits);
    if (hits.length) hits[0].querySelector("button").tabIndex = 0;
    this.said.textContent = how(answer);
    const more = answer.missed.length - MISSED;
    this.missed.textContent = answer.missed.slice(0, MISSED).map((passage) =>
      `Relevant too: ${passage.id}, ` + (passage.rank
        ? `at rank ${passage.rank}.` : "further down.")).join(" ")
      + (more > 0 ? ` And ${more} more.` : "");
  }

  hit(hit, answer, moved) {
    const item = element("li", "", hit.relevant ? "hit right" : "hit");
    const body = element("div"), head = element("button", "", "head");
    const title = named(hit.title || hit.id);
    head.type = "button";
    head.tabIndex = -1;
    head.setAttribute("aria-expanded", "false");
    head.append(title);
    if (hit.relevant) head.append(element("span", "✓ relevant", "mark"));
    if (answer.before) head.append(moved(hit, answer.before));
    const score = element("span", hit.score.toFixed(3), "score");
    score.title = "score";
    const context = element("p", "", "context");
    context.dir = "auto";
    hit.context.forEach((piece, i) =>
      context.append(i % 2 ? element("mark", piece) : piece));
    head.addEventListener("click", () => unfold(head, body, hit));
    body.append(head, context);
    item.append(element("span", String(hit.rank), "rank"), body, score);
    return item;
  }
}

// A title, which may break behind a dot of it, as names in code have many.
function named(text) {
  const made = element("b");
  made.dir = "auto";
  for (const part of text.split(/(?<=[._/])/)) {
    made.append(part, document.createElement("wbr"));
  }
  return made;
}

// How it moved since the stage before.
function sinceBefore(hit, before) {
  if (hit.before === null) return badge("new", "up", `not found by ${before}`);
  const by = hit.before - hit.rank;
  if (!by) return badge("=", "", `as ${before} has it`);
  return by > 0
    ? badge(`▲ ${by}`, "up", `up ${by} since ${before}`)
    : badge(`▼ ${-by}`, "down", `down ${-by} since ${before}`);
}

// Where the student has it.
function atStudent(hit, before) {
  return badge(
    `student ${hit.before === null ? "–" : hit.before}`, "",
    hit.before === null
      ? `not found by ${before}` : `at rank ${hit.before} of ${before}`);
}

function badge(text, kind, label) {
  const made = element("span", text, `moved ${kind}`.trim());
  made.title = label;
  made.setAttribute("role", "img");
  made.setAttribute("aria-label", label);
  return made;
}

function unfold(head, body, hit) {
  const open = head.getAttribute("aria-expanded") !== "true";
  head.setAttribute("aria-expanded", String(open));
  body.querySelectorAll(".whole, .id").forEach((old) => old.remove());
  body.querySelector(".context").hidden = open;
  if (!open) return;
  const whole = element("p", hit.text, "whole");
  whole.dir = "auto";
  body.append(whole);
  if (hit.title && hit.id !== hit.title) {
    body.append(element("p", hit.id, "id"));
  }
}

function how(answer) {
  const { kind, recall, orders } = answer.index;
  const said = {
    exact: "exact search",
    scann: "ScaNN" + (recall === null
      ? "" : `, recall ${recall.toFixed(3)} of exact search`),
    rerank: `reads the first of ${orders} with the query`,
  }[kind];
  return `${said}, ${answer.milliseconds.toFixed(1)} ms`;
}

async function get(path, signal) {
  let response;
  try {
    response = await fetch(path, { signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The server does not answer; is it still running?");
  }
  let said = {};
  try {
    said = await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
  }
  if (!response.ok) throw new Error(said.error || "The search has failed.");
  return said;
}

function say(text, wrong = false) {
  const status = byId("status");
  status.textContent = text;
  status.classList.toggle("wrong", wrong);
}

// One question, two columns.

function student() { return state.students[state.at]; }

async function search() {
  clearTimeout(timer);
  const query = byId("query").value.trim();
  state.query = query;
  remember();
  byId("columns").hidden = !query;
  byId("examples").hidden = !!query || !state.examples.length;
  if (!query) {
    Object.values(columns).forEach((column) => column.clear());
    say("");
    return;
  }
  const own = student(), other = byId("beside").value;
  byId("left_title").textContent = own.name;
  if (other) columns.right.ask(query, other, own.name, atStudent);
  const answer = await columns.left.ask(
    query, own.name, own.began, sinceBefore);
  if (!answer) return;
  const known = answer.known
    ? ` A query of split ${answer.known.split}: what is relevant is marked.`
    : "";
  say(`${answer.hits.length} passages.${known}`);
}

function soon() {
  clearTimeout(timer);
  timer = setTimeout(search, WAIT);
}

// What is asked stands in the address, to come back to.
function remember() {
  const asked = new URLSearchParams();
  if (state.query) asked.set("q", state.query);
  asked.set("stage", student().name);
  asked.set("beside", byId("beside").value); // "" is nothing beside it
  history.replaceState(null, "", `?${asked}`);
}

function choose(at) {
  state.at = Math.min(Math.max(at, 0), state.students.length - 1);
  const own = student(), slider = byId("stage");
  slider.value = state.at;
  slider.setAttribute("aria-valuetext", own.name);
  byId("stage_name").textContent = own.name;
  byId("stage_says").textContent = says(own);
  [...byId("ticks").children].forEach((tick, i) =>
    tick.firstChild.classList.toggle("here", i === state.at));
}

function says(system) {
  const parts = [system.taught_by
    ? `taught by ${system.taught_by}` : "as it came"];
  const [metric, value] = Object.entries(system.figures)[0] || [];
  if (metric) parts.push(`${metric} ${value.toFixed(3)}`);
  if (system.refused) parts.push("not accepted");
  return parts.join(", ");
}

// Keys.

function typing(target) {
  return target.matches("input:not([type=range]), select, textarea");
}

function heads(column) { return [...column.list.querySelectorAll(".head")]; }

function move(event, head) {
  const column = Object.values(columns).find((c) => c.list.contains(head));
  const own = heads(column), place = own.indexOf(head);
  let next;
  if (event.key === "ArrowDown") next = own[place + 1];
  if (event.key === "ArrowUp") next = own[place - 1] || byId("query");
  if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
    const side = event.key === "ArrowLeft" ? columns.left : columns.right;
    const there = heads(side);
    next = side === column ? null : there[Math.min(place, there.length - 1)];
  }
  if (!next) return;
  event.preventDefault();
  next.focus();
}

function press(event) {
  const { target, key } = event, query = byId("query");
  // Many keyboards have brackets with AltGr or Option alone.
  const typed = event.getModifierState("AltGraph")
    || (event.altKey && !event.ctrlKey && "[]".includes(key));
  if (event.metaKey || (!typed && (event.ctrlKey || event.altKey))) return;
  if (key === "/" && !typing(target)) {
    event.preventDefault();
    query.focus();
    query.select();
  } else if (key === "Escape" && target === query) {
    event.preventDefault();
    query.value = "";
    search();
  } else if (key === "Escape") {
    query.focus();
  } else if (key === "ArrowDown" && target === query) {
    const first = heads(columns.left)[0];
    if (first) { event.preventDefault(); first.focus(); }
  } else if (target.matches(".head")) {
    if (key.startsWith("Arrow")) move(event, target);
    else stage(event);
  } else if (!typing(target)) {
    stage(event);
  }
}

function stage(event) {
  const by = { "[": -1, "]": 1 }[event.key];
  if (!by) return;
  event.preventDefault();
  choose(state.at + by);
  search();
}

// Beginning.

function drawTheme() {
  const button = byId("theme"), dark = isDark();
  button.textContent = dark ? "Light" : "Dark";
  button.setAttribute("aria-pressed", String(dark));
  button.setAttribute("aria-label", "Dark colours");
}

function turnTheme() {
  const chosen = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = chosen;
  try { localStorage.setItem(KEPT, chosen); } catch { /* not kept */ }
  drawTheme();
}

function option(system) {
  const made = element("option", system.name);
  made.value = system.name;
  return made;
}

function drawSystems(said, asked) {
  const { collection, systems } = said;
  state.students = systems.filter((s) => s.role === "student");
  state.examples = said.examples;
  document.title = `${collection.name}: search`;
  byId("name").textContent = collection.name;
  byId("about").textContent =
    `${collection.passages.toLocaleString("en")} passages`;
  const others = systems.filter((s) => s.role !== "student");
  const beside = byId("beside");
  beside.replaceChildren(
    ...[...others, ...state.students].map(option), option({ name: "" }));
  beside.lastChild.textContent = "nothing beside it";
  const wanted = asked.get("beside");
  beside.value = wanted === "" || systems.some((s) => s.name === wanted)
    ? wanted : (others[0] || { name: "" }).name;
  byId("ticks").replaceChildren(...state.students.map((system, i) => {
    const item = element("li"), tick = element("button", system.name);
    tick.type = "button";
    tick.tabIndex = -1;
    tick.classList.toggle("refused", system.refused);
    const value = Object.values(system.figures)[0];
    if (value !== undefined) tick.append(element("span", value.toFixed(3)));
    // They are for the mouse alone, and not where a reader is to be.
    tick.addEventListener("mousedown", (event) => event.preventDefault());
    tick.addEventListener("click", () => { choose(i); search(); });
    item.append(tick);
    return item;
  }));
  byId("stages").hidden = state.students.length < 2;
  byId("stage").max = state.students.length - 1;
  const names = state.students.map((s) => s.name);
  const first = names.indexOf(asked.get("stage"));
  choose(first >= 0 ? first : names.indexOf(said.chosen));
}

function drawExamples() {
  byId("examples").querySelector("ul").replaceChildren(
    ...state.examples.map((text) => {
      const item = element("li"), button = element("button", text);
      button.type = "button";
      button.dir = "auto";
      button.addEventListener("click", () => {
        byId("query").value = text;
        search();
      });
      item.append(button);
      return item;
    }));
}

async function begin() {
  drawTheme();
  byId("theme").addEventListener("click", turnTheme);
  matchMedia("(prefers-color-scheme: dark)")
    .addEventListener("change", drawTheme);
  let said;
  try {
    said = await get("api/systems");
  } catch (error) {
    say(error.message, true);
    return;
  }
  const asked = new URLSearchParams(location.search);
  columns.left = new Column("left");
  columns.right = new Column("right");
  drawSystems(said, asked);
  drawExamples();
  const query = byId("query");
  query.value = asked.get("q") || "";
  query.addEventListener("input", soon);
  byId("form").addEventListener("submit", (event) => {
    event.preventDefault();
    search();
  });
  byId("stage").addEventListener("input", (event) => {
    choose(Number(event.target.value));
    soon();
  });
  byId("beside").addEventListener("change", () => {
    columns.right.clear();
    search();
  });
  document.addEventListener("keydown", press);
  await search();
  query.focus();
}

document.addEventListener("DOMContentLoaded", begin);
