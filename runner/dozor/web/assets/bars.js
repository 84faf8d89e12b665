// The last periods of a task: failures are full bars, successes half ones, no run a line. One path a colour.
const STEP = 4, BAR = 3, HEIGHT = 20;
const SHAPES = { "x": ["failed", 0], "+": ["ok", HEIGHT / 2], ".": ["none", HEIGHT - 2] };

function draw(name, attributes, ...children) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}
function barPaths(signs) {
  const lines = {};
  [...signs].forEach((sign, index) => {
    const [name, top] = SHAPES[sign] ?? SHAPES["."];
    lines[name] = `${lines[name] ?? ""}M${index * STEP} ${top}h${BAR}V${HEIGHT}h-${BAR}z`;
  });
  return Object.entries(lines).map(([name, d]) => draw("path", { class: name, d }));
}
const uptimeOf = (signs) => {
  const known = signs.replaceAll(".", "").length;
  return known ? signs.replaceAll(/[^+]/g, "").length / known : null;
};
// Never rounded up to 100 %: that would say that nothing failed.
const percent = (share) =>
  share === null ? "–" : `${number(share === 1 ? 100 : Math.floor(share * 1000) / 10)} %`;

// Into an empty or older `holder`. `bars` as `/api/bars` has them, `at` the time they were counted back from.
function showBars(holder, bars, at) {
  const { period, signs } = bars;
  const failures = new Map(bars.failed.map(([index, failed, runs]) => [index, [failed, runs]]));
  const width = signs.length * STEP - (STEP - BAR);
  holder.replaceChildren(
    draw("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" },
      ...barPaths(signs)));
  holder.setAttribute("role", "img");
  holder.setAttribute("aria-label", fill(texts.bars, {
    time: lasting(period * signs.length), period: lasting(period), failed: count(texts.bars_failed, failures.size),
  }));
  tipFor(holder, (place) => {
    const index = Math.floor(place * signs.length);
    const from = at - (signs.length - index) * period;
    const failed = failures.get(index);
    const what = failed ? count(texts.bar_failed, failed[1], { failed: number(failed[0]) })
      : signs[index] === "+" ? texts.bar_ok : texts.bar_none;
    return `${clock(from)} – ${clock(from + period)}: ${what}`;
  });
}
function axis(bars) {
  const whole = bars.period * bars.signs.length;
  const ago = (share) => fill(texts.ago, { time: lasting(whole * share) });
  return [make("span", {}, ago(1)), make("span", {}, ago(0.5)), make("span", {}, texts.now)];
}

// Bars are asked for when their task comes into sight, several tasks at once.
const ASKED_AT_ONCE = 40;
const asked = new Set();
let showBarsOf = () => {}; // set by the page: (name, bars, at)
function askBars(name) {
  asked.add(name);
  clearTimeout(askBars.timer);
  askBars.timer = setTimeout(fetchBars, 60);
}
async function fetchBars() {
  const names = [...asked].slice(0, ASKED_AT_ONCE);
  names.forEach((name) => asked.delete(name));
  if (!names.length) return;
  const query = names.map((name) => `task=${encodeURIComponent(name)}`).join("&");
  try {
    const answer = await fetch(`${base}/api/bars?${query}`, { signal: AbortSignal.timeout(10000) });
    if (answer.ok) {
      const { bars, now: at } = await answer.json();
      for (const [name, one] of Object.entries(bars)) showBarsOf(name, one, at);
    }
  } catch {
    // The banner says that the runner does not answer; bars come with the next round.
  }
  if (asked.size) fetchBars();
}
