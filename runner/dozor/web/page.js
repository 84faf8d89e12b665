"use strict";
(() => {
  const { texts, signs, now, wanted, acts } = JSON.parse(document.getElementById("data").textContent);
  const skew = Date.now() / 1000 - now; // our clock against the runner's
  const byId = (id) => document.getElementById(id);
  const rows = new Map([...document.querySelectorAll("[data-task]")].map((row) => [row.dataset.task, row]));
  const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, key) => values[key] ?? "");

  function span(seconds) {
    const whole = Math.max(0, Math.trunc(seconds));
    for (const [size, unit] of [[86400, texts.days], [3600, texts.hours], [60, texts.minutes]])
      if (whole >= size) return `${Math.trunc(whole / size)} ${unit}`;
    return `${whole} ${texts.seconds}`;
  }
  function told(at, plain) {
    const distance = at - (Date.now() / 1000 - skew);
    if (plain) return span(-distance);
    if (Math.abs(distance) < 1) return texts.now;
    return fill(distance > 0 ? texts.ahead : texts.ago, { time: span(Math.abs(distance)) });
  }
  function time(at, plain = false) {
    const element = document.createElement(at === null ? "span" : "time");
    if (at === null) element.textContent = texts.never;
    else {
      element.dataset.at = at;
      if (plain) element.dataset.plain = "";
      element.textContent = told(at, plain);
      element.title = new Date(at * 1000).toLocaleString(document.documentElement.lang);
    }
    return element;
  }
  function made(name, className, ...children) {
    const element = document.createElement(name);
    if (className) element.className = className;
    element.append(...children);
    return element;
  }
  setInterval(() => {
    for (const element of document.querySelectorAll("time"))
      element.textContent = told(Number(element.dataset.at), "plain" in element.dataset);
  }, 1000);

  function showTask(task) {
    const row = rows.get(task.name);
    if (!row || !(task.state in signs)) return;
    const field = (name) => row.querySelector(`[data-f="${name}"]`);
    row.className = `task ${task.state}`;
    field("state").className = `pill ${task.state}`;
    field("state").textContent = `${signs[task.state]} ${texts.states[task.state]}`;
    field("streak").textContent = task.streak ? `${task.streak}/${task.limit ?? "∞"} ${texts.in_a_row}` : "";
    const parts = [`${texts.last_success}: `, time(task.succeeded)];
    if (task.running !== null) parts.push(` · ${texts.running}: `, time(task.running, true));
    else if (task.next !== null) parts.push(` · ${texts.next_run}: `, time(task.next));
    if (task.progress) parts.push(` · ${task.progress[0]}/${task.progress[1]}`);
    if (task.backlog !== null) parts.push(` · ${texts.backlog}: ${task.backlog}`);
    if (task.by !== null) parts.push(` · ${texts.by}: ${task.by}`);
    field("times").replaceChildren(...parts);
    field("error").hidden = task.error === null;
    field("error").textContent =
      task.error === null ? "" : task.error + (task.where ? ` (${texts.where}: ${task.where})` : "");
    showActs(row);
  }
  function showList(id, items, line) {
    byId(id).replaceChildren(...items.map(line));
    byId(`no-${id}`).hidden = items.length > 0;
  }
  const incident = (one) =>
    made("p", "", made("b", `pill ${one.severity}`, `#${one.id} ${one.task ?? ""}`), ` ${one.summary} · `,
      time(one.opened), one.by ? ` · ${fill(texts.acknowledged, { by: one.by })}` : "");
  const owed = (one) =>
    made("p", "", made("b", "", one.kind), ` ${one.task ?? ""} · `, time(one.since),
      ` · ${fill(texts.attempts, { count: one.attempts })}`, one.error ? ` · ${one.error}` : "");
  function showPage(view) {
    byId("ready").className = `pill ${view.readiness.ready ? "running" : "stopped"}`;
    byId("ready").textContent = view.readiness.ready ? texts.ready : texts.not_ready;
    byId("reasons").replaceChildren(...view.readiness.reasons.map((reason) => made("li", "", reason)));
    for (const [state, count] of Object.entries(view.counts)) {
      const number = document.querySelector(`[data-count="${state}"]`);
      number.textContent = count;
      number.parentElement.classList.toggle("zero", count === 0);
    }
    showList("incidents", view.incidents, incident);
    showList("owed", view.owed, owed);
  }
  const classes = { ".": "none", "+": "ok", "x": "failed" };
  function showBars(all) {
    for (const [name, [, bars]] of Object.entries(all))
      rows.get(name)?.querySelectorAll(".bars rect").forEach((bar, index) => {
        bar.setAttribute("class", classes[bars[index]] ?? "none");
      });
  }

  function listen() {
    const stream = new EventSource(`/api/events?q=${encodeURIComponent(wanted)}`);
    const live = byId("live");
    const say = (text) => { live.hidden = false; live.textContent = text; };
    stream.addEventListener("open", () => say(`● ${texts.live}`));
    stream.addEventListener("error", () => say(`○ ${texts.lost}`));
    stream.addEventListener("tasks", (event) => JSON.parse(event.data).forEach(showTask));
    stream.addEventListener("page", (event) => showPage(JSON.parse(event.data)));
    stream.addEventListener("bars", (event) => showBars(JSON.parse(event.data)));
  }

  // Acting: the token lives in this tab only, and is sent in a header that no other site can make us send.
  const token = () => sessionStorage.getItem("dozor-token");
  function toast(text) {
    byId("toast").textContent = text;
    byId("toast").hidden = false;
    clearTimeout(toast.timer);
    toast.timer = setTimeout(() => { byId("toast").hidden = true; }, 6000);
  }
  function showActs(row) {
    const bar = row.querySelector(".acts");
    if (!bar) return;
    bar.hidden = !token();
    const paused = row.classList.contains("paused");
    bar.querySelector('[data-do="pause"]').hidden = paused;
    bar.querySelector('[data-do="resume"]').hidden = !paused;
  }
  function showSign() {
    byId("sign").textContent = token() ? texts.sign_out : texts.sign_in;
    rows.forEach(showActs);
  }
  async function act(row, button) {
    const name = row.dataset.task;
    button.disabled = true;
    try {
      const answer = await fetch(`/api/tasks/${encodeURIComponent(name)}/${button.dataset.do}`, {
        method: "POST", headers: { Authorization: `Bearer ${token()}` },
      });
      if (answer.status === 401) {
        sessionStorage.removeItem("dozor-token");
        showSign();
        toast(texts.denied);
        return;
      }
      const { reason } = await answer.json();
      const text = { done: texts.done, already: texts.already }[reason] ?? texts.refused;
      toast(fill(text, { name, reason }));
    } catch {
      toast(texts.failed);
    } finally {
      button.disabled = false;
    }
  }
  if (acts) {
    byId("sign").addEventListener("click", () => {
      if (token()) {
        sessionStorage.removeItem("dozor-token");
        showSign();
      } else byId("enter").showModal();
    });
    byId("enter").addEventListener("close", () => {
      const field = byId("enter").querySelector("input");
      if (byId("enter").returnValue === "in" && field.value) sessionStorage.setItem("dozor-token", field.value.trim());
      field.value = "";
      showSign();
    });
    document.addEventListener("click", (event) => {
      const button = event.target.closest("[data-do]");
      if (button) act(button.closest("[data-task]"), button);
    });
    showSign();
  }
  listen();
})();
