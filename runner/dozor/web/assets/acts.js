// Acting: the token lives in this tab only, and is sent in a header that no other site can make us send.
const TOKEN = "dozor-token";
const SILENCES = [1800, 3600, 14400, 86400];
const signedIn = () => sessionStorage.getItem(TOKEN);

function toast(text) {
  byId("toast").textContent = text;
  byId("toast").hidden = false;
  clearTimeout(toast.timer);
  toast.timer = setTimeout(() => { byId("toast").hidden = true; }, 6000);
}
function showSign() {
  document.body.classList.toggle("signed", Boolean(signedIn()));
  byId("sign").textContent = signedIn() ? texts.sign_out : texts.sign_in;
}
async function act(button, path, name) {
  button.disabled = true;
  try {
    const answer = await fetch(path, {
      method: "POST", headers: { Authorization: `Bearer ${signedIn()}` }, signal: AbortSignal.timeout(15000),
    });
    if (answer.status === 401) {
      sessionStorage.removeItem(TOKEN);
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
function actButton(text, command, path, name) {
  const button = make("button", { type: "button", "data-do": command, "aria-label": `${text}: ${name}` }, text);
  button.addEventListener("click", () => act(button, path(), name));
  return button;
}
const COMMANDS = { restart: texts.restart, "run-now": texts.run_now, pause: texts.pause, resume: texts.resume };
function actsOf(name) {
  if (!settings.acts) return null;
  const path = (command) => () => `${base}/api/tasks/${encodeURIComponent(name)}/${command}`;
  return make("div", { class: "acts" },
    ...Object.entries(COMMANDS).map(([command, text]) => actButton(text, command, path(command), name)));
}
// What makes sense now: a healthy task is not restarted.
function offer(acts, task) {
  if (!acts) return;
  const paused = task.state === "paused";
  const sensible = {
    restart: !paused && task.rank !== undefined, "run-now": !paused && task.rank === undefined,
    pause: !paused && task.state !== "stopped", resume: paused,
  };
  for (const button of acts.children) button.hidden = !sensible[button.dataset.do];
}
function incidentActs(one) {
  if (!settings.acts) return null;
  const name = `#${one.id}`;
  const path = (command, more = "") => `${base}/api/incidents/${one.id}/${command}${more}`;
  const duration = make("select", { "aria-label": `${texts.silence_for}: ${name}` },
    ...SILENCES.map((seconds) => make("option", { value: seconds }, lasting(seconds))));
  duration.value = 3600;
  return make("div", { class: "acts" },
    one.by ? actButton(texts.give_back, "unack", () => path("unack"), name)
      : actButton(texts.acknowledge, "ack", () => path("ack"), name),
    ...(one.silence ? [actButton(texts.unsilence, "unsilence", () => path("unsilence"), name)]
      : [actButton(texts.silence, "silence", () => path("silence", `?seconds=${duration.value}`), name), duration]));
}
function startActs() {
  if (!settings.acts) return;
  byId("sign").addEventListener("click", () => {
    if (signedIn()) {
      sessionStorage.removeItem(TOKEN);
      showSign();
    } else byId("enter").showModal();
  });
  byId("enter").addEventListener("close", () => {
    const field = byId("enter").querySelector("input");
    if (byId("enter").returnValue === "in" && field.value) sessionStorage.setItem(TOKEN, field.value.trim());
    field.value = "";
    showSign();
  });
  showSign();
}
