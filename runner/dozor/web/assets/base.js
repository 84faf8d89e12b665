// Texts, times and elements. Nothing here knows of tasks.
const byId = (id) => document.getElementById(id);
const settings = JSON.parse(byId("settings").textContent);
const { texts, signs, language } = settings;
const locale = { en: "en-GB" }[language] ?? language;
const plurals = new Intl.PluralRules(locale);
const fill = (text, values) => text.replace(/\{(\w+)\}/g, (_, key) => values[key] ?? "");
const number = (value) => value.toLocaleString(locale);
const count = (forms, n, values = {}) =>
  fill(forms[plurals.select(n)] ?? forms.other ?? forms.many, { n: number(n), ...values });

let skew = 0; // seconds by which this machine's clock is ahead of the runner's
const now = () => Date.now() / 1000 - skew;
const UNITS = [[86400, "days"], [3600, "hours"], [60, "minutes"], [1, "seconds"]];

// The largest unit alone.
function span(seconds) {
  const whole = Math.max(0, Math.trunc(seconds));
  const [size, unit] = UNITS.find(([least]) => whole >= least) ?? UNITS[3];
  return `${Math.trunc(whole / size)} ${texts[unit]}`;
}
// Two units at most, and milliseconds of what is shorter than a second.
function lasting(seconds) {
  if (seconds < 1) return `${number(Math.round(seconds * 1000))} ${texts.milliseconds}`;
  if (seconds < 10) return `${number(Math.round(seconds * 10) / 10)} ${texts.seconds}`;
  let rest = Math.round(seconds);
  const parts = [];
  for (const [size, unit] of UNITS) {
    if (rest >= size) parts.push(`${Math.trunc(rest / size)} ${texts[unit]}`);
    rest %= size;
  }
  return parts.slice(0, 2).join(" ");
}
function zoned(options) {
  try {
    return new Intl.DateTimeFormat(locale, { ...options, timeZone: settings.zone });
  } catch {
    return new Intl.DateTimeFormat(locale, options); // a zone that this browser does not know
  }
}
const elsewhere = settings.zone !== new Intl.DateTimeFormat().resolvedOptions().timeZone;
const DAY = { day: "numeric", month: "short" };
const CLOCK = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" };
const days = zoned({ ...DAY, year: "numeric" });
const clocks = {
  today: zoned({ ...CLOCK, second: "2-digit" }),
  other: zoned({ ...CLOCK, ...DAY }),
  hour: zoned(CLOCK),
  day: zoned(DAY),
  full: zoned({ ...CLOCK, ...DAY, year: "numeric", second: "2-digit", timeZoneName: "short" }),
};
function clock(at) {
  const today = days.format(at * 1000) === days.format(now() * 1000);
  return clocks[today ? "today" : "other"].format(at * 1000);
}

const TOLD = {
  ago(at) {
    const distance = at - now();
    if (Math.abs(distance) < 1) return texts.now;
    return fill(distance > 0 ? texts.ahead : texts.ago, { time: span(Math.abs(distance)) });
  },
  for: (at) => span(now() - at),
  at: clock,
};
// A moment: `told` is how, a key of TOLD. The title has the exact time.
function time(at, told = "ago") {
  const element = make("time");
  setTime(element, at, told);
  return element;
}
function setTime(element, at, told = "ago") {
  element.dataset.at = at;
  element.dataset.told = told;
  element.dateTime = new Date(at * 1000).toISOString();
  element.title = clocks.full.format(at * 1000);
  element.textContent = TOLD[told](at);
}
function refreshTimes(root) {
  for (const element of root.querySelectorAll("time")) {
    const text = TOLD[element.dataset.told]?.(Number(element.dataset.at));
    if (text !== undefined && text !== element.textContent) element.textContent = text;
  }
}

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (key === "class") element.className = value;
    else element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined && child !== ""));
  return element;
}
const quiet = (...children) => make("span", { class: "quiet" }, ...children);
// Children in this order; what stands right already is not moved, so that it keeps focus and selection.
function arrange(parent, children) {
  let next = parent.firstElementChild;
  for (const child of children) {
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
  }
  while (next) {
    const following = next.nextElementSibling;
    next.remove();
    next = following;
  }
}
// Whatever a proxy has put before our own paths.
const base = location.pathname.replace(/\/(task\/[^/]*)?$/, "");
function address(path, values = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(values)) if (value) query.set(key, value);
  if (settings.explicit) query.set("lang", language);
  const text = query.toString();
  return `${base}${path}${text ? `?${text}` : ""}`;
}
const taskAddress = (name) => address(`/task/${encodeURIComponent(name)}`);

// What a screen reader is told, and no more often than it can be said.
const news = [];
function announce(text) {
  news.push(text);
  clearTimeout(announce.timer);
  announce.timer = setTimeout(() => {
    byId("news").textContent = news.length > 5 ? news.slice(-5).join(". ") : news.join(". ");
    news.length = 0;
  }, 1000);
}

// The namespace as the parser knows it: the page holds no address of another site, not even a name like this.
const SVG = (() => {
  const template = document.createElement("template");
  template.innerHTML = "<svg/>";
  return template.content.firstChild.namespaceURI;
})();
const COLOURS = { good: "#1a7f37", bad: "#cf222e", warn: "#bf8700" };
function showTab(mood, sign, name) {
  const dot = mood === "bad" ? '<rect width="16" height="16" rx="3"' : '<circle cx="8" cy="8" r="8"';
  const icon = `<svg xmlns="${SVG}" viewBox="0 0 16 16">${dot} fill="${COLOURS[mood]}"/></svg>`;
  const address = `data:image/svg+xml,${encodeURIComponent(icon)}`;
  if (byId("icon").getAttribute("href") !== address) byId("icon").setAttribute("href", address);
  const title = (sign ? `(${sign}) ` : "") + (name ? `${name} — ` : "") + texts.title;
  if (document.title !== title) document.title = title;
}

// A text beside the pointer; `about` gives it for a place between 0 (left) and 1 (right).
const tips = new WeakMap();
function showTip(event) {
  const element = event.target.closest?.("[data-tip]");
  const about = element && tips.get(element);
  if (!about) {
    byId("tip").hidden = true;
    return;
  }
  const box = element.getBoundingClientRect();
  const tip = byId("tip");
  tip.textContent = about(Math.min(0.9999, Math.max(0, (event.clientX - box.left) / box.width)));
  tip.hidden = false;
  const width = tip.offsetWidth;
  tip.style.left = `${Math.max(4, Math.min(innerWidth - width - 4, event.clientX - width / 2))}px`;
  tip.style.top = `${box.top > 60 ? box.top - tip.offsetHeight - 6 : box.bottom + 6}px`;
}
document.addEventListener("pointermove", showTip);
document.addEventListener("pointerdown", showTip);
document.addEventListener("scroll", () => { byId("tip").hidden = true; }, { passive: true });
document.addEventListener("keydown", (event) => { if (event.key === "Escape") byId("tip").hidden = true; });
function tipFor(element, about) {
  element.dataset.tip = "";
  tips.set(element, about);
}
