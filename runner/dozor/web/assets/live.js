// Staying up to date. The stream brings news at once, polling is the truth: whatever keeps the stream silent (a
// frozen runner, a proxy that holds it back, 503), the page asks, and says so when nobody answers.
const { waits } = settings; // seconds: class Waits in frame.py
// A browser opens six connections to a server at most (HTTP/1.1). So that six tabs of tasks leave one for the
// seventh, the page of a task does without a stream while nobody sees it, and asks now and then.
const REST_POLL_AFTER = 20, REST_STALE_AFTER = 150; // seconds; timers of hidden tabs may come once a minute
const resting = () => settings.task !== null && document.hidden;

function follow(wanted, apply, showConnection) {
  let rev = "", version = null;
  let heardAt = Date.now(), streamedAt = 0, pollAt = 0, streamAt = 0, refusals = 0;
  let failure = null, polling = false, stream = null, round = 0;

  const query = () => new URLSearchParams({ ...wanted(), lang: language, since: rev }).toString();
  function receive(update) {
    const [generation, number] = update.rev.split(".").map(Number);
    const [knownGeneration, known] = rev.split(".").map(Number);
    heardAt = Date.now();
    failure = null;
    if (!update.all && generation === knownGeneration && number < known) return; // overtaken on its way
    skew = Date.now() / 1000 - update.now;
    rev = update.rev;
    if (update.page) {
      version ??= update.page.runner.version;
      if (version !== update.page.runner.version) return location.reload(); // this script is of another version
    }
    apply(update);
  }
  function openStream() {
    stream?.close();
    const mine = stream = new EventSource(`${base}/api/events?${query()}`);
    streamAt = Infinity;
    mine.addEventListener("update", (event) => {
      if (mine !== stream) return;
      streamedAt = Date.now();
      refusals = 0;
      receive(JSON.parse(event.data));
      look();
    });
    mine.addEventListener("error", () => {
      if (mine !== stream) return;
      closeStream();
      pollAt = 0;
      look();
    });
  }
  function closeStream() {
    stream?.close();
    stream = null;
    streamedAt = 0;
    const again = waits.stream_again_after;
    streamAt = Date.now() + again[Math.min(refusals++, again.length - 1)] * 1000;
  }
  async function poll() {
    polling = true;
    const mine = round;
    try {
      const answer = await fetch(`${base}/api/page?${query()}`, { signal: AbortSignal.timeout(waits.poll_answer * 1000) });
      if (!answer.ok) failure = { status: answer.status };
      else {
        const update = await answer.json();
        if (mine === round) receive(update);
      }
    } catch (error) {
      failure = error.name === "TimeoutError" ? { silent: true } : error.name === "TypeError" ? { refused: true } : { status: "" };
    }
    polling = false;
    pollAt = Date.now() + waits.poll_every * 1000;
    look();
  }
  function look() {
    const silent = (Date.now() - heardAt) / 1000;
    const streamed = stream !== null && Date.now() - streamedAt < waits.stale_after * 1000;
    if (stream !== null && !streamed && failure === null && Date.now() - streamedAt > waits.stream_given_up_after * 1000) closeStream();
    const plain = failure !== null && !failure.silent;
    const rest = resting();
    if (rest && stream !== null) {
      stream.close();
      stream = null;
      streamAt = 0;
    }
    const due = rest ? silent > REST_POLL_AFTER : silent > waits.poll_after || !streamed;
    if (!polling && Date.now() >= pollAt && due) poll();
    if (Date.now() >= streamAt && failure === null && !rest) openStream();
    const stale = silent > (rest ? REST_STALE_AFTER : waits.stale_after) || (plain && silent > waits.stale_refused_after);
    showConnection({ stale, failure, streamed, heardAt: heardAt / 1000 - skew });
  }
  const first = JSON.parse(byId("data").textContent);
  receive(first);
  openStream();
  streamedAt = Date.now(); // give it the time of one sign of life before asking besides
  setInterval(look, 500);
  for (const event of ["online", "pageshow", "focus"]) addEventListener(event, () => { pollAt = 0; look(); });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden && stream === null) pollAt = 0;
    look();
  });
  look();
  return {
    // Everything anew, after another search on the server.
    restart() {
      rev = "";
      round++;
      polling = false;
      openStream();
    },
  };
}

// The header, the banner, title and icon: the same on every page.
let connection = { stale: false, streamed: false }, page = null;
function showConnection(state) {
  const changed = state.stale !== connection.stale || state.failure?.status !== connection.failure?.status;
  connection = state;
  if (page && changed) showHeader();
  const banner = byId("stale");
  document.body.classList.toggle("stale", state.stale);
  if (state.stale) {
    const { failure } = state;
    const kind = failure?.status ? texts.stale_answer : failure?.refused ? texts.stale_refused : texts.stale_silent;
    const text = `${fill(kind, { at: clock(state.heardAt), status: failure?.status })} ${texts.as_of}`;
    banner.firstChild.textContent = `${texts.stale}.`;
    if (banner.lastChild.textContent !== text) banner.lastChild.textContent = text;
  }
  banner.hidden = !state.stale;
  const live = state.stale ? "" : state.streamed ? `● ${texts.live}` : page ? `● ${texts.polling}` : texts.connecting;
  if (byId("live").textContent !== live) byId("live").textContent = live;
}
function showHeader() {
  const { ready, reasons, runner } = page;
  const stale = connection.stale;
  byId("ready").className = `pill ${ready && !stale ? "running" : "stopped"}`;
  byId("ready").textContent = stale ? texts.unknown : ready ? texts.ready : texts.not_ready;
  byId("runner").replaceChildren(fill(texts.runner, runner), `, ${texts.up} `, time(runner.started, "for"),
    elsewhere ? ` · ${fill(texts.zone, { zone: settings.zone })}` : "", page.cluster ? ` · ${page.cluster}` : "");
  byId("reasons").replaceChildren(...reasons.map((reason) => make("li", {}, reason)));
  const worst = page.incidents[0]?.severity;
  const bad = stale || !ready || worst === "critical";
  const mood = bad ? "bad" : worst || page.counts.stopped || page.counts.backoff ? "warn" : "good";
  showTab(mood, stale ? "!" : page.incidents_total, settings.task);
}
