// The page of all tasks: open incidents, then what is broken, then a dense row for each of the others.
const CARDS = 60; // broken tasks shown in full; further ones as rows
const BARS_AGAIN = 60000;
const PAUSED = 3;
const tasks = new Map(), rows = new Map(), cards = new Map(), groups = new Map();
const visible = new Set();
let cut = false;
const filter = { search: settings.search, state: settings.state ?? "" };

// Times of a task come relative to the message; from here on they are seconds since the epoch.
function absorb(view, at) {
  for (const key of ["ok", "run", "next", "since"]) if (key in view) view[key] += at;
  return view;
}
const broken = (task) => task.rank !== undefined && task.rank !== PAUSED;
function pill(task) {
  return make("span", { class: `pill ${task.state}` }, `${signs[task.state]} ${texts.states[task.state]}`);
}
function streak(task) {
  if (!task.streak) return null;
  const limit = task.limit ? `${number(task.streak)}/${number(task.limit)} · ` : "";
  return make("span", { class: "streak" }, limit + count(texts.in_a_row, task.streak));
}
function labels(task) {
  const found = [];
  if (task.overdue) found.push(make("span", { class: "pill backoff" }, texts.overdue));
  if (task.behind) found.push(make("span", { class: "pill backoff" }, texts.behind));
  return found;
}
function since(task) {
  if (task.since === undefined) return null;
  return make("span", { class: "since" }, `${texts.failing_since} `, time(task.since, "at"), " · ", time(task.since, "for"));
}
function success(task) {
  return [`${texts.last_success}: `, task.ok === undefined ? texts.never : time(task.ok)];
}
function following(task) {
  if (task.run !== undefined) return [`${texts.running}: `, time(task.run, "for")];
  if (task.next !== undefined) return [`${texts.next_run}: `, time(task.next)];
  return [];
}
function moreOf(task) {
  const parts = [];
  if (task.progress) parts.push(`${number(task.progress[0])}/${number(task.progress[1])}`);
  if (task.backlog !== undefined) parts.push(`${texts.backlog}: ${number(task.backlog)}`);
  if (task.by) parts.push(`${texts.by}: ${task.by}`);
  return parts;
}
function timesOf(task) {
  const parts = [...success(task)];
  const next = following(task);
  if (next.length) parts.push(" · ", ...next);
  for (const part of moreOf(task)) parts.push(` · ${part}`);
  return quiet(...parts);
}
const errorOf = (task) =>
  task.error && make("p", { class: "error" }, task.error + (task.where ? ` (${texts.where}: ${task.where})` : ""));
const nameOf = (task) => make("a", { href: taskAddress(task.name) }, task.name);

// -- one broken task

function cardOf(task) {
  let card = cards.get(task.name);
  if (!card) {
    const element = make("article", { "data-task": task.name });
    const about = make("div"), bars = make("span", { class: "bars" }), uptime = make("span", { class: "uptime" });
    const scale = make("div", { class: "axis", "aria-hidden": "true" }), acts = actsOf(task.name);
    element.append(about, make("div", { class: "history" }, bars, uptime), scale, ...(acts ? [acts] : []));
    cards.set(task.name, card = { element, about, bars, uptime, scale, acts });
    sight.observe(element);
  }
  card.element.className = `task ${task.state}`;
  card.about.replaceChildren(
    make("div", { class: "head" }, make("h3", {}, nameOf(task)), pill(task), ...labels(task), streak(task) ?? "", since(task) ?? ""),
    ...[errorOf(task)].filter(Boolean),
    timesOf(task),
    make("div", { class: "quiet" }, task.schedule + (task.description ? ` — ${task.description}` : "")));
  offer(card.acts, task);
  return card.element;
}

// -- one healthy task: what is in sight is filled in, the others are a name and a state

const rowTemplate = make("template");
rowTemplate.content.append(make("li", { class: "row" }, make("a"), make("span", { class: "state" })));
function rowOf(task) {
  let row = rows.get(task.name);
  if (!row) {
    const element = rowTemplate.content.cloneNode(true).firstChild;
    element.dataset.task = task.name;
    element.firstChild.href = taskAddress(task.name);
    element.firstChild.textContent = task.name;
    rows.set(task.name, row = { element, state: element.lastChild, bars: null });
    sight.observe(element);
  }
  if (row.shown !== task.state) {
    row.shown = task.state;
    row.state.className = `state ${task.state}`;
    row.state.textContent = `${signs[task.state]} ${texts.states[task.state]}`;
  }
  if (row.bars) fillRow(row, task);
  return row.element;
}
function fillRow(row, task) {
  if (!row.bars) {
    row.bars = make("span", { class: "bars" });
    row.uptime = make("span", { class: "uptime" });
    row.last = make("span", { class: "quiet last" });
    row.next = make("span", { class: "quiet next" });
    row.element.append(row.bars, row.uptime, row.last, row.next);
  }
  const labelled = [...labels(task), streak(task)].filter(Boolean);
  row.last.replaceChildren(...success(task));
  row.next.replaceChildren(...labelled, ...(task.by ? moreOf(task) : following(task)));
}

// -- what is in sight

const sight = new IntersectionObserver((entries) => {
  for (const { target, isIntersecting } of entries) {
    if (!isIntersecting) {
      visible.delete(target);
      continue;
    }
    visible.add(target);
    const name = target.dataset.task, task = tasks.get(name), row = rows.get(name);
    if (!task) continue;
    if (row?.element === target) fillRow(row, task);
    if (!target.querySelector(".bars svg")) askBars(name);
  }
}, { rootMargin: "150px" });
function showTaskBars(name, bars, at) {
  const uptime = percent(uptimeOf(bars.signs));
  const card = cards.get(name), row = rows.get(name);
  if (card) {
    showBars(card.bars, bars, at);
    card.uptime.replaceChildren(make("b", {}, uptime), ` ${texts.uptime}`);
    card.uptime.title = texts.uptime_about;
    card.scale.replaceChildren(...axis(bars));
  }
  if (row?.bars) {
    showBars(row.bars, bars, at);
    row.uptime.replaceChildren(make("b", {}, uptime), quiet(` ${lasting(bars.period * bars.signs.length)}`));
    row.uptime.title = texts.uptime_about;
  }
}

// -- filters

function matches(task) {
  if (filter.state && task.state !== filter.state) return false;
  const text = filter.search.trim().toLocaleLowerCase(language);
  return !text || task.name.toLowerCase().includes(text) || (task.description ?? "").toLocaleLowerCase(language).includes(text);
}
function setFilter(change, connectionToServer) {
  Object.assign(filter, change);
  history.replaceState(null, "", address("/", { q: filter.search, state: filter.state }));
  for (const link of byId("counts").querySelectorAll("a"))
    link.setAttribute("aria-current", link.dataset.state === filter.state ? "true" : "false");
  layout();
  if (!cut) return;
  clearTimeout(setFilter.timer);
  setFilter.timer = setTimeout(() => connectionToServer.restart(), 300);
}
function countsBar(connectionToServer) {
  const chip = (state, text) =>
    make("li", {}, make("a", {
      href: address("/", { state }), class: `pill ${state || "any"}`, "data-state": state,
      "aria-current": filter.state === state ? "true" : "false",
    }, make("b", { "data-count": state || "all" }), " ", make("span", {}, text)));
  const list = make("ul", { id: "counts" }, chip("", texts.all_tasks),
    ...Object.keys(texts.states).map((state) => chip(state, texts.states[state])));
  list.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    setFilter({ state: link.dataset.state === filter.state ? "" : link.dataset.state }, connectionToServer);
  });
  return list;
}
function searchField(connectionToServer) {
  const field = make("input", { type: "search", name: "q", id: "search", "aria-label": texts.filter, placeholder: texts.filter, autocomplete: "off" });
  field.value = filter.search;
  field.addEventListener("input", () => setFilter({ search: field.value }, connectionToServer));
  return make("form", { role: "search", method: "get" }, field, make("span", { id: "cut", class: "quiet" }));
}

// -- sections

function section(id, title) {
  const heading = make("h2", {}, title, " ", make("span", { class: "quiet" }));
  const body = make("div", { class: "body" });
  const empty = make("p", { class: "quiet empty" });
  const element = make("section", { id }, heading, empty, body);
  return { element, heading, body, empty };
}
const parts = {};
function prefixOf(name) {
  return /^(.+?)[_.-]/.exec(name)?.[1] ?? "";
}
function groupOf(key, title) {
  let group = groups.get(key);
  if (!group) {
    const list = make("ul", { class: "rows" }), amount = make("span", { class: "quiet" });
    const element = make("details", { open: true, class: "group" }, make("summary", {}, title, " ", amount), list);
    groups.set(key, group = { element, list, amount });
  }
  return group;
}
function showGroups(healthy) {
  const byPrefix = new Map();
  for (const task of healthy) {
    const prefix = prefixOf(task.name);
    if (!byPrefix.has(prefix)) byPrefix.set(prefix, []);
    byPrefix.get(prefix).push(task);
  }
  const shared = [...byPrefix].filter(([prefix, members]) => prefix && members.length > 1);
  const alone = [...byPrefix].filter(([prefix, members]) => !prefix || members.length === 1).flatMap(([, members]) => members);
  const elements = [];
  const put = (key, title, members) => {
    const group = groupOf(key, title);
    arrange(group.list, members.map(rowOf));
    group.amount.textContent = number(members.length);
    elements.push(group.element);
  };
  for (const [prefix, members] of shared.sort(([one], [other]) => (one < other ? -1 : 1))) put(`=${prefix}`, prefix, members);
  if (alone.length && shared.length) put("others", texts.other_group, alone);
  else if (alone.length) {
    parts.rows ??= make("ul", { class: "rows" });
    arrange(parts.rows, alone.map(rowOf));
    elements.push(parts.rows);
  }
  arrange(parts.healthy.body, elements);
}
function worstFirst(one, other) {
  return one.rank - other.rank || (one.since ?? Infinity) - (other.since ?? Infinity) || (one.name < other.name ? -1 : 1);
}
function layout() {
  layout.planned = false;
  const bad = [], paused = [], healthy = [];
  for (const task of tasks.values())
    if (matches(task)) (broken(task) ? bad : task.rank === PAUSED ? paused : healthy).push(task);
  bad.sort(worstFirst);
  parts.brokenRows ??= make("ul", { class: "rows" });
  arrange(parts.brokenRows, bad.slice(CARDS).map(rowOf));
  arrange(parts.broken.body, [...bad.slice(0, CARDS).map(cardOf), ...(bad.length > CARDS ? [parts.brokenRows] : [])]);
  parts.pausedRows ??= make("ul", { class: "rows" });
  arrange(parts.pausedRows, paused.map(rowOf));
  arrange(parts.paused.body, paused.length ? [parts.pausedRows] : []);
  showGroups(healthy);
  const filtered = filter.search.trim() || filter.state;
  for (const [part, found] of [[parts.broken, bad], [parts.paused, paused], [parts.healthy, healthy]])
    part.heading.lastChild.textContent = number(found.length);
  parts.broken.empty.textContent = bad.length || filtered ? "" : texts.nothing_broken;
  parts.broken.element.hidden = Boolean(filtered) && !bad.length;
  parts.paused.element.hidden = !paused.length;
  parts.healthy.element.hidden = !healthy.length;
  const shown = bad.length + paused.length + healthy.length;
  byId("nothing").hidden = shown > 0;
  byId("nothing").textContent = tasks.size ? texts.no_match : texts.no_tasks;
  for (const element of visible) if (!element.isConnected) visible.delete(element);
}
function planLayout() {
  if (layout.planned) return;
  layout.planned = true;
  // A frame that never comes (the tab is hidden) must not keep the page as it was.
  document.hidden ? setTimeout(layout) : requestAnimationFrame(layout);
}

// -- incidents, messages, counts

function incidentOf(one) {
  const taken = one.by
    ? make("span", { class: "taken" }, fill(texts.acknowledged, { by: one.by }), " ", one.taken ? time(one.taken) : "")
    : make("span", { class: "untaken" }, texts.not_acknowledged);
  const silence = one.silence && quiet(one.silence.until
    ? fill(texts.silenced_until, { by: one.silence.by, at: clock(one.silence.until) })
    : fill(texts.silenced_open, { by: one.silence.by }));
  const facts = [quiet(time(one.opened, "at"), " · ", time(one.opened, "for")), taken, silence,
    one.failures > 1 ? quiet(count(texts.in_a_row, one.failures)) : null,
    one.explained ? quiet(fill(texts.explained, { id: one.explained })) : null].filter(Boolean);
  return make("article", { class: `incident ${one.severity}`, "data-incident": one.id },
    make("div", { class: "head" },
      make("h3", {}, make("span", { class: `pill ${one.severity}` }, `#${one.id}`), " ",
        one.task ? make("a", { href: taskAddress(one.task) }, one.task) : texts.of_runner),
      make("span", {}, settings.kinds[one.kind] ?? one.kind)),
    make("p", { class: "error" }, one.summary),
    make("div", { class: "facts" }, ...facts),
    incidentActs(one),
    whyOf(one.id));
}
// Decisions about an incident's messages; asked for each time it is opened.
function whyOf(number) {
  const lines = make("ol", { class: "lines" });
  const part = make("details", { class: "why" }, make("summary", {}, texts.why), lines);
  part.addEventListener("toggle", async () => {
    if (!part.open) return;
    try {
      const answer = await fetch(`${base}/api/why/${number}?lang=${document.documentElement.lang}`, { signal: AbortSignal.timeout(15000) });
      if (!answer.ok) throw new Error(answer.status);
      lines.replaceChildren(...(await answer.json()).lines.map((line) => make("li", {}, line)));
    } catch {
      lines.replaceChildren(make("li", { class: "error" }, texts.unavailable));
    }
  });
  return part;
}
const owedOf = (one) =>
  make("li", {}, make("b", {}, texts.messages[one.kind] ?? one.kind), ` ${one.task ?? ""} · `, time(one.since, "for"),
    ` · ${count(texts.attempts, one.attempts)}`, one.error ? ` · ${one.error}` : "");
// What has not changed is left alone: a list that is open or a button that has focus stays so.
const drawn = new Map();
function unchanged(key, value, draw) {
  const text = JSON.stringify(value), known = drawn.get(key);
  if (known?.text === text) return known.element;
  const element = draw(value);
  drawn.set(key, { text, element });
  return element;
}
function showPage(view) {
  page = view;
  showHeader();
  const { incidents, owed, oncall, counts } = view;
  arrange(parts.incidents.body, incidents.map((one) => unchanged(`#${one.id}`, one, incidentOf)));
  parts.incidents.heading.lastChild.textContent = number(view.incidents_total);
  const rest = view.incidents_total - incidents.length;
  parts.incidents.empty.textContent = rest > 0 ? count(texts.more_incidents, rest) : incidents.length ? "" : texts.no_incidents;
  parts.oncall.replaceChildren(`${texts.on_call}: `,
    oncall ? fill(texts.on_call_until, { name: oncall.name, at: clock(oncall.until) }) : texts.nobody_on_call);
  arrange(parts.queue.body, [unchanged("owed", owed, () => make("ul", {}, ...owed.map(owedOf)))]);
  parts.queue.empty.textContent = owed.length ? "" : texts.queue_empty;
  const total = Object.values(counts).reduce((sum, one) => sum + one, 0);
  for (const [state, amount] of Object.entries({ ...counts, all: total })) {
    const place = document.querySelector(`[data-count="${state}"]`);
    if (!place) continue;
    place.textContent = number(amount);
    if (state !== "all") place.parentElement.lastChild.textContent = count(texts.counted[state], amount);
    place.parentElement.classList.toggle("zero", amount === 0);
  }
  byId("cut").textContent = cut ? fill(texts.more, { shown: number(tasks.size), total: number(total) }) : "";
}
function tell(before, task) {
  if (before === undefined || (before.state === task.state && broken(before) === broken(task))) return;
  if (broken(before) || broken(task) || task.state === "paused")
    announce(fill(texts.became, { name: task.name, state: texts.states[task.state] }));
}
function applyTasks(update) {
  if (update.all) {
    cut = update.cut;
    const kept = new Set(update.tasks.map((task) => task.name));
    for (const name of [...tasks.keys()]) if (!kept.has(name)) forget(name);
  }
  for (const name of update.gone ?? []) forget(name);
  let moved = Boolean(update.all || update.gone);
  for (const view of update.tasks ?? []) {
    const task = absorb(view, update.now), before = tasks.get(task.name);
    tasks.set(task.name, task);
    tell(before, task);
    const same = before && before.rank === task.rank && before.since === task.since;
    if (!same || filter.state) moved = true;
    else if (broken(task)) (cards.has(task.name) ? cardOf : rowOf)(task);
    else if (rows.has(task.name)) rowOf(task);
    if (before && (before.rank !== task.rank || before.streak !== task.streak))
      setTimeout(askBars, waits.details_after_change * 1000, task.name);
  }
  if (update.page) showPage(update.page);
  if (moved) planLayout();
}
function forget(name) {
  for (const known of [rows, cards]) {
    const one = known.get(name);
    if (!one) continue;
    sight.unobserve(one.element);
    visible.delete(one.element);
    one.element.remove();
    known.delete(name);
  }
  tasks.delete(name);
}

function startTasks() {
  parts.incidents = section("incidents", texts.incidents);
  parts.oncall = make("p", { id: "oncall" });
  parts.incidents.heading.after(parts.oncall);
  parts.broken = section("broken", texts.broken);
  parts.paused = section("paused", texts.paused);
  parts.healthy = section("healthy", texts.healthy);
  parts.queue = section("queue", texts.queue);
  let connectionToServer = null;
  const server = { restart: () => connectionToServer?.restart() };
  const toolbar = make("nav", { class: "tools", "aria-label": texts.all_tasks }, countsBar(server), searchField(server));
  byId("main").replaceChildren(parts.incidents.element, toolbar, make("p", { id: "nothing", class: "quiet", hidden: true }),
    parts.broken.element, parts.paused.element, parts.healthy.element, parts.queue.element);
  byId("main").querySelector("form").addEventListener("submit", (event) => event.preventDefault());
  showBarsOf = showTaskBars;
  connectionToServer = follow(() => ({ q: filter.search.trim(), state: filter.state }), applyTasks, showConnection);
  layout();
  performance.mark("drawn");
  setInterval(() => {
    for (const root of [document.querySelector("header"), parts.incidents.element, parts.queue.element, ...visible])
      refreshTimes(root);
  }, 1000);
  setInterval(() => { for (const element of visible) askBars(element.dataset.task); }, BARS_AGAIN);
}
