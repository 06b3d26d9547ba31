// Server-sent events read by fetch: an EventSource could not send a key.

/** Tells each event's name and data until the server ends them. Rejects when the connection is lost. */
async function readEvents(url, signal, tell) {
  const response = await fetch(url, signed({ signal }));
  if (!response.ok || !response.body) return;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const events = (text + value).split("\n\n");
    text = events.pop();
    for (const event of events) tellEvent(event, tell);
  }
}

function tellEvent(event, tell) {
  const fields = Object.fromEntries(
    event.split("\n").map((line) => {
      const [, name, value] = line.match(/^([^:]*):? ?(.*)$/);
      return [name, value];
    }),
  );
  if (fields.data) tell(fields.event, JSON.parse(fields.data));
}
