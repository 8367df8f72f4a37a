// Asking this replica. Addresses are relative, so that the page works behind a
// proxy that adds a path.

const patience = 4000;

// ask returns the JSON of an answer, or throws an error with the reason in words.
export async function ask(path) {
  let response;
  try {
    response = await fetch(path, { cache: "no-store", signal: AbortSignal.timeout(patience) });
  } catch (error) {
    throw new Error(error.name === "TimeoutError" ? `Nothing came within ${patience / 1000} s` : "The connection was refused or cut");
  }
  if (!response.ok) throw new Error(`The answer was status ${response.status}`);
  try {
    return await response.json();
  } catch {
    throw new Error("The answer was cut off");
  }
}

// askLines hands over an answer of lines of JSON, each as it comes.
export async function askLines(path, signal, each) {
  const response = await fetch(path, { cache: "no-store", signal });
  if (response.status === 429) throw new Error("another search is under way at this replica: try again when it is done");
  if (!response.ok) throw new Error(`the answer was status ${response.status}`);
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) break;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line) each(JSON.parse(line));
  }
}
