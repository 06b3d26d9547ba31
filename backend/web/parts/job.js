// A job: begun, followed over its events through lost connections and reloads, called off, ended.

const ENDS = ["succeeded", "failed", "canceled"];
const LONGEST_PAUSE_MS = 8000;

/** The job this page follows: job_id and urls once accepted, what was asked, what ends its watch. */
let running = null;

async function begin() {
  if (running) return;
  clearProblem();
  if (!checkFields()) return;
  const request = asked();
  follow({ request });
  const mine = running;
  showStanding("Sending");
  byId("frame").scrollIntoView({ block: "nearest" });
  try {
    const { job_id, urls } = await call(`${API}/${request.kind}`, await optionsFor(request));
    Object.assign(mine, { job_id, urls });
  } catch (problem) {
    leave();
    showProblem(problem);
    return;
  }
  remember("job", { job_id: mine.job_id, urls: mine.urls, request });
  watch(mine);
  if (mine.calledOff) cancel();
}

/** Takes up what a reload interrupted. */
function takeUp() {
  const job = remembered("job", null);
  if (!job) return;
  follow(job);
  showStanding("Looking how it stands");
  lookAgain(running);
}

function follow(job) {
  running = { ...job, tries: 0 };
  arrange();
}

function leave() {
  running?.watching?.abort();
  running = null;
  clearStanding();
  arrange();
}

/** Another tab may have begun another job since. */
function forgetJob({ job_id }) {
  if (remembered("job", null)?.job_id === job_id) remember("job", null);
}

async function watch(job) {
  job.watching = new AbortController();
  const tell = (status, data) => {
    job.tries = 0;
    if (running !== job) return;
    if (ENDS.includes(status)) ended(data);
    else standing(data);
  };
  await readEvents(`${job.urls.events}?preview=true`, job.watching.signal, tell).catch(() => null);
  if (running === job) lookAgain(job);
}

/** The connection is lost: asks how the job stands until someone answers, then watches again. */
async function lookAgain(job) {
  if (job.tries && running === job) {
    tellOnce("The connection was lost. Trying again");
    showStanding(job.told);
  }
  await pause(job.tries && Math.min(LONGEST_PAUSE_MS, 250 * 2 ** job.tries));
  job.tries += 1;
  if (running !== job) return;
  try {
    const now = await call(job.urls.self);
    if (running !== job) return;
    if (ENDS.includes(now.status)) ended(now);
    else {
      standing(now);
      watch(job);
    }
  } catch (problem) {
    if (running !== job) return;
    if (![401, 404].includes(problem.status)) return lookAgain(job);
    if (problem.status === 404) forgetJob(job);
    leave();
    showProblem(problem);
  }
}

function standing({ status, position, eta_s, progress, step, steps, preview }) {
  if (running.calledOff) return;
  const left = eta_s === null || eta_s === undefined ? "" : `, about ${inWords(Math.max(0, eta_s))} left`;
  if (status === "queued") {
    const place = position > 1 ? `Waiting, number ${position} in the queue` : "Waiting, next in the queue";
    tellOnce(place);
    showStanding(place + left);
    return;
  }
  tellOnce("Working on it");
  const words = steps ? `Step ${step} of ${steps}` : "Working on it";
  showStanding(words + left, progress ?? 0, preview);
}

/** Those who listen hear of a new state, not of every step. */
function tellOnce(words) {
  if (running.told !== words) say(words);
  running.told = words;
}

function ended(job) {
  const { request } = running;
  forgetJob(running);
  leave();
  if (job.status === "succeeded") succeeded(job, request);
  else if (job.status === "canceled") say("Canceled");
  else showProblem(new Problem("It could not be made", { detail: job.error?.message }));
}

function succeeded(job, request) {
  const pictures = picturesOf(job, request);
  if (!pictures.length) {
    showProblem(new Problem("It was made, but could not be kept", { detail: (job.warnings ?? []).join(" ") }));
    return;
  }
  shelve(pictures);
  showPicture(pictures[0]);
  say(`Done, with seed ${pictures[0].seed}`);
}

async function cancel() {
  if (!running) return;
  running.calledOff = true;
  showStanding("Canceling");
  const job = running;
  if (!job.urls) return; // as soon as it is accepted
  try {
    const now = await call(job.urls.cancel, { method: "DELETE" });
    if (running === job && ENDS.includes(now.status)) ended(now);
  } catch (problem) {
    if (problem.status === 409 || running !== job) return; // ended by itself: the events say how
    job.calledOff = false;
    showProblem(problem);
  }
}
