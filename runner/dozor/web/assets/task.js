// The page of one task. What changes at once comes by the stream; its history is asked for when it has changed.
const DETAIL_EVERY = 60000;
const CHART = { width: 960, height: 120, zero: 84 };
const WINDOWS = ["1", "7", "30"];

function startTask() {
  const name = settings.task;
  const main = byId("main");
  let task = null, length = new URLSearchParams(location.search).get("days") ?? "1", askedAt = 0, detail = null;
  let requests = 0, answered = 0;
  if (!settings.about) {
    main.replaceChildren(make("p", {}, make("a", { href: address("/") }, `← ${texts.back}`)),
      make("h1", {}, fill(texts.unknown_task, { name })));
    follow(() => ({ task: name }), (update) => {
      if (update.page) { page = update.page; showHeader(); }
      if (update.tasks?.length) location.reload(); // it has been added meanwhile
    }, showConnection);
    return;
  }
  const part = (id, title) => {
    const body = make("div");
    const element = make("section", { id }, make("h2", {}, title), body);
    main.append(element);
    return body;
  };
  const top = make("div", { class: "card" }), acts = actsOf(name);
  const bars = make("span", { class: "bars" }), uptime = make("span", { class: "uptime" }), scale = make("div", { class: "axis", "aria-hidden": "true" });
  main.replaceChildren(make("p", {}, make("a", { href: address("/") }, `← ${texts.back}`)),
    make("div", { class: "task", "data-task": name }, top, make("div", { class: "history" }, bars, uptime), scale, ...(acts ? [acts] : [])));
  const open = part("incidents", texts.task_incidents);
  const summary = part("runs", texts.summary);
  const chart = part("chart", texts.chart);
  const traceback = part("traceback", texts.traceback);
  const errors = part("errors", texts.errors);
  const timeline = part("timeline", texts.timeline);

  function showTop() {
    main.querySelector(".task").className = `task ${task.state}`;
    top.replaceChildren(
      make("div", { class: "head" }, make("h1", {}, name), pill(task), ...labels(task), streak(task) ?? "", since(task) ?? ""),
      ...[errorOf(task)].filter(Boolean),
      timesOf(task),
      make("div", { class: "quiet" }, `${texts.schedule}: ${settings.about.schedule}` + (settings.about.description ? ` — ${settings.about.description}` : "")));
    offer(acts, task);
  }
  function showOpen() {
    const mine = page.incidents.filter((one) => one.task === name);
    const past = (detail?.incidents ?? []).filter((one) => one.resolved !== null && !mine.some((open) => open.id === one.id));
    const empty = !mine.length && !past.length;
    arrange(open, [...mine.map((one) => unchanged(`#${one.id}`, one, incidentOf)),
      unchanged("past", past, () => make("ul", { class: "lines" }, ...past.map(pastIncident))),
      ...(empty && detail ? [unchanged("none", null, () => quiet(texts.no_past_incidents))] : [])]);
  }
  function pastIncident(one) {
    return make("li", {}, time(one.opened, "at"), ` · #${one.id} ${settings.kinds[one.kind] ?? one.kind} · `,
      fill(texts.lasted, { time: lasting(one.resolved - one.opened) }),
      one.taken ? ` · ${fill(texts.acknowledged, { by: one.taken })}` : "", make("div", { class: "quiet" }, one.summary), whyOf(one.id));
  }
  async function ask() {
    const mine = ++requests;
    askedAt = Date.now();
    askBars(name);
    try {
      const answer = await fetch(`${base}/api/task/${encodeURIComponent(name)}?days=${length}`, { signal: AbortSignal.timeout(15000) });
      if (answer.status === 503) {
        if (!detail) summary.replaceChildren(quiet(texts.unavailable));
        askSoon();
      }
      if (!answer.ok) return;
      const found = await answer.json();
      if (mine < answered) return; // of an older request than what is shown, perhaps with another length
      answered = mine;
      detail = found;
    } catch {
      return; // the banner says that the runner does not answer
    }
    showSummary();
    showChart();
    showOpen();
    showLists();
  }
  function askSoon() {
    if (ask.timer) return;
    const wait = Math.max(waits.details_after_change * 1000, askedAt + waits.details_at_most_every * 1000 - Date.now());
    ask.timer = setTimeout(() => { ask.timer = null; ask(); }, wait);
  }
  function showSummary() {
    const line = (label, one) => {
      const runs = one ? one.ok + one.failed : 0;
      return make("tr", {}, make("th", { scope: "row" }, label),
        ...(runs ? [count(texts.runs, runs), count(texts.failures, one.failed), percent(one.ok / runs), lasting(one.p50), lasting(one.p95)]
          : [texts.no_runs, "", "", "", ""]).map((text) => make("td", {}, text)));
    };
    summary.replaceChildren(
      make("div", { class: "wide", tabindex: "0", role: "group", "aria-label": texts.summary }, make("table", {},
        make("thead", {}, make("tr", {}, make("td"), make("td"), make("td"),
          ...[texts.succeeded_share, texts.p50, texts.p95].map((text) => make("th", { scope: "col" }, text)))),
        make("tbody", {}, ...Object.entries(detail.windows).map(([days, one]) => line(texts.window[days], one))))),
      quiet(fill(texts.in_all, { runs: count(texts.runs, detail.runs), failures: count(texts.failures, detail.failures) })));
  }
  function showLists() {
    const { traceback: last } = detail;
    arrange(traceback, [unchanged("traceback", last, () => last
      ? make("div", {}, quiet(time(last.at, "at")), make("pre", { tabindex: "0" }, last.text))
      : quiet(texts.no_traceback))]);
    arrange(errors, [unchanged("errors", detail.errors, () => detail.errors.length
      ? make("ul", { class: "lines" }, ...detail.errors.map((one) => make("li", {},
        make("span", { class: "error" }, one.error), " ",
        quiet(count(texts.times, one.times), ` · ${texts.first_time} `, time(one.first, "at"), ` · ${texts.last_time} `, time(one.last, "at")))))
      : quiet(texts.no_errors))]);
    arrange(timeline, [unchanged("timeline", detail.timeline, () => detail.timeline.length
      ? make("ul", { class: "lines" }, ...detail.timeline.map(eventOf)) : quiet(texts.no_timeline))]);
  }
  function eventOf(event) {
    const item = make("li", { class: event.kind }, time(event.at, "at"), " · ");
    if (event.kind === "incident")
      item.append(`#${event.number} ${settings.kinds[event.name] ?? event.name} · `,
        event.ended === null ? texts.still_open : fill(texts.lasted, { time: lasting(event.ended - event.at) }));
    else if (event.kind === "action") item.append(`${settings.actions[event.name] ?? event.name} · ${event.text}`);
    else {
      const outcome = texts.outcomes[event.name] ?? event.name;
      item.append(make("span", { class: event.name === "succeeded" ? "" : "error" }, outcome),
        event.runs > 1 ? ` · ${count(texts.runs, event.runs)}` : "",
        event.seconds === null ? "" : ` · ${lasting(event.seconds)}`);
      if (event.text) item.append(make("div", { class: "quiet" }, event.text));
    }
    return item;
  }

  // -- the chart

  function showChart() {
    const { since: from, width, count: amount, portions } = detail.chart;
    const step = CHART.width / amount, until = from + width * amount;
    const most = Math.max(1, ...portions.map(([, ok, failed]) => Math.max(ok, failed)));
    const longest = Math.max(0, ...portions.map(([, , , , p95]) => p95 ?? 0)) || 1;
    const down = CHART.height - CHART.zero;
    let good = "", bad = "";
    const lines = { p50: "", p95: "" };
    portions.forEach(([index, ok, failed, p50, p95], position) => {
      const left = (index * step).toFixed(1), wide = (step * 0.86).toFixed(1);
      if (ok) good += `M${left} ${CHART.zero}h${wide}v${(-CHART.zero * ok / most).toFixed(1)}h-${wide}z`;
      if (failed) bad += `M${left} ${CHART.zero}h${wide}v${Math.max(4, down * failed / most).toFixed(1)}h-${wide}z`;
      const joined = position && portions[position - 1][0] === index - 1;
      for (const [key, value] of [["p50", p50], ["p95", p95]])
        if (value !== null) {
          const y = (CHART.height - 4 - (CHART.height - 8) * value / longest).toFixed(1);
          lines[key] += joined ? `L${((index + 0.5) * step).toFixed(1)} ${y}` : `M${left} ${y}h${wide}`;
        }
    });
    const shade = detail.chart.incidents.map(([start, end]) => {
      const left = Math.max(0, (start - from) / width * step), right = Math.min(CHART.width, ((end ?? until) - from) / width * step);
      return `M${left.toFixed(1)} 0H${Math.max(left + 2, right).toFixed(1)}V${CHART.height}H${left.toFixed(1)}z`;
    }).join("");
    const about = (place) => {
      const index = Math.floor(place * amount);
      const [, ok, failed, p50, p95] = portions.find(([one]) => one === index) ?? [index, 0, 0, null, null];
      const what = ok + failed
        ? `${fill(texts.portion_runs, { runs: count(texts.runs, ok + failed), failures: count(texts.failures, failed) })}`
          + (p50 === null ? "" : `, ${texts.p50} ${lasting(p50)}, ${texts.p95} ${lasting(p95)}`)
        : texts.bar_none;
      return `${clock(from + index * width)} – ${clock(from + (index + 1) * width)}: ${what}`;
    };
    const whole = detail.windows[String(detail.days)];
    const label = fill(texts.chart_about, {
      window: texts.window[detail.days], runs: count(texts.runs, whole ? whole.ok + whole.failed : 0),
      failures: count(texts.failures, whole?.failed ?? 0),
    });
    const panel = (title, top, ...paths) => {
      const holder = make("div", { class: "plot", role: "img", "aria-label": `${title}. ${label}` });
      holder.append(draw("svg", { viewBox: `0 0 ${CHART.width} ${CHART.height}`, preserveAspectRatio: "none", "aria-hidden": "true" },
        draw("path", { class: "shade", d: shade }), ...paths));
      tipFor(holder, about);
      return [make("h3", {}, title, " ", quiet(top)), holder];
    };
    const marks = (length === "1" ? clocks.hour : clocks.day);
    const scaleOf = [0, 0.25, 0.5, 0.75, 1].map((share) =>
      make("span", {}, share === 1 ? texts.now : marks.format((from + (until - from) * share) * 1000)));
    chart.replaceChildren(
      make("div", { class: "windows" }, ...WINDOWS.map((days) => {
        const button = make("button", { type: "button", "aria-pressed": days === length ? "true" : "false" }, texts.window[days]);
        button.addEventListener("click", () => { length = days; ask(); });
        return button;
      })),
      ...panel(texts.chart_runs, `max ${number(most)}`, draw("path", { class: "ok", d: good }), draw("path", { class: "failed", d: bad }),
        draw("path", { class: "base", d: `M0 ${CHART.zero}h${CHART.width}` })),
      ...panel(texts.chart_durations, `max ${lasting(longest)}`, draw("path", { class: "line p95", d: lines.p95 }), draw("path", { class: "line p50", d: lines.p50 })),
      make("div", { class: "axis", "aria-hidden": "true" }, ...scaleOf),
      make("p", { class: "legend" }, make("span", { class: "key p50" }, texts.p50), " ", make("span", { class: "key p95" }, texts.p95), " ", quiet(label)));
  }

  showBarsOf = (_, found, at) => {
    showBars(bars, found, at);
    uptime.replaceChildren(make("b", {}, percent(uptimeOf(found.signs))), ` ${texts.uptime}`);
    uptime.title = texts.uptime_about;
    scale.replaceChildren(...axis(found));
  };
  follow(() => ({ task: name }), (update) => {
    if (update.page) {
      page = update.page;
      showHeader();
      showOpen();
    }
    const gone = update.gone?.includes(name) || (update.all && !update.tasks.length);
    if (gone) main.prepend(make("p", { class: "error", role: "status" }, texts.removed));
    for (const view of update.tasks ?? []) {
      const before = task;
      task = absorb(view, update.now);
      tell(before ?? undefined, task);
      showTop();
      askSoon();
    }
  }, showConnection);
  ask();
  setInterval(() => refreshTimes(document), 1000);
  setInterval(ask, DETAIL_EVERY);
}
