// Talks to the console's API. A token given in the page's address is kept for this tab and taken out of the address.

const KEY = "rungs token";

export function takeToken() {
  const address = new URL(location.href);
  const token = address.searchParams.get("token");
  if (!token) return;
  keepToken(token);
  address.searchParams.delete("token");
  history.replaceState(null, "", address);
}

export const keepToken = (token) => sessionStorage.setItem(KEY, token);

/** An answer of the API that is not 200: `code` and `message` as the API says them. */
export class ApiError extends Error {
  constructor(code, message) {
    super(message);
    this.code = code;
  }
}

/** GETs JSON; with `secret`, as who has that key; as "text", `text` and the cursor of the `next` page. */
export async function get(path, params = {}, secret = "", as = "json") {
  const token = sessionStorage.getItem(KEY);
  const query = new URLSearchParams(params).toString();
  let response;
  try {
    response = await fetch(query ? `${path}?${query}` : path, {
      headers: { ...(token ? { authorization: `Bearer ${token}` } : {}), ...(secret ? { "x-secret-key": secret } : {}) },
    });
  } catch {
    throw new ApiError("unreachable", "The console does not answer.");
  }
  if (response.ok && as === "text") return { text: await response.text(), next: response.headers.get("x-next-cursor") };
  const body = await response.json().catch(() => ({}));
  if (response.ok) return body;
  throw new ApiError(body.code ?? `http_${response.status}`, body.message ?? response.statusText);
}

/** Offers a text as a file. */
export function save(text, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "text/csv" }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

export const path = (funnel, what) =>
  `/api/v1/funnels/${encodeURIComponent(funnel.site)}/${encodeURIComponent(funnel.id)}/${what}`;

/** Events of a stream until `close()`. Browsers reconnect by themselves; when they give up, `on.closed` is called. */
export function stream(funnel, params, on) {
  const token = sessionStorage.getItem(KEY);
  const query = new URLSearchParams(token ? { ...params, token } : params);
  const source = new EventSource(`${path(funnel, "stream")}?${query}`);
  source.addEventListener("live", (event) => on.live(JSON.parse(event.data)));
  source.addEventListener("problem", (event) => on.problem(JSON.parse(event.data)));
  source.addEventListener("heartbeat", (event) => on.heartbeat(JSON.parse(event.data)));
  source.addEventListener("error", () => {
    if (source.readyState === EventSource.CLOSED) on.closed();
    else on.reconnecting();
  });
  return source;
}
