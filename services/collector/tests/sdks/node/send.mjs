// Sends three events of each visitor with one vendor's client, as a customer's program would:
//   node send.mjs CLIENT URL KEY RUN VISITORS PAUSE_MS
// The last line it prints is the number of errors that the client told.
const [client, url, key, run, visitors, pause] = process.argv.slice(2);
const EVENTS = ["offer_viewed", "email_given", "bought"];
let errors = 0;
const failed = (error) => {
  errors += 1;
  console.error(client, error);
};
const wait = (ms) => new Promise((done) => setTimeout(done, ms));

const properties = (step) => ({
  step,
  run,
  text: 'Grüße 🎉 "x" \\ \u2028 <b>',
  price: 19.99,
  nested: { list: [1, 2, { deep: null }] },
  flag: true,
  empty: "",
});

const clients = {
  async segment() {
    const { Analytics } = await import("@segment/analytics-node");
    const analytics = new Analytics({ writeKey: key, host: url, maxEventsInBatch: 5, flushInterval: 200, maxRetries: 10 });
    analytics.on("error", failed);
    return {
      send: (anonymousId, event, properties) => analytics.track({ anonymousId, event, properties }),
      close: () => analytics.closeAndFlush(),
    };
  },
  async rudderstack() {
    const { default: Analytics } = await import("@rudderstack/rudder-sdk-node");
    const analytics = new Analytics(key, { dataPlaneUrl: url, flushAt: 5, flushInterval: 200, errorHandler: failed });
    return {
      send: (anonymousId, event, properties) => analytics.track({ anonymousId, event, properties }),
      close: () => analytics.flush(),
    };
  },
  async posthog() {
    const { PostHog } = await import("posthog-node");
    const posthog = new PostHog(key, { host: url, flushAt: 5, flushInterval: 200, fetchRetryDelay: 300 });
    posthog.on("error", failed);
    return {
      send: (distinctId, event, properties) => posthog.capture({ distinctId, event, properties }),
      close: () => posthog.shutdown(),
    };
  },
  async jitsu() {
    const { jitsuAnalytics } = await import("@jitsu/js");
    const options = { host: url, writeKey: `${key}:secret`, s2s: true, runtime: undefined };
    const pending = [];
    return {
      send: (anonymousId, event, properties) => {
        const analytics = jitsuAnalytics(options);
        analytics.setAnonymousId(anonymousId);
        pending.push(Promise.resolve(analytics.track(event, properties)).catch(failed));
      },
      close: () => Promise.all(pending),
    };
  },
  async umami() {
    const { Umami } = await import("@umami/node");
    const umami = new Umami({ hostUrl: url, websiteId: key });
    const pending = [];
    const judge = async (answer) => (await answer).ok || failed(await (await answer).text());
    return {
      send: (id, name, data) => {
        const sent = umami.track({ id, hostname: "shop.example", url: `/${name}`, name, data });
        pending.push(judge(sent).catch(failed));
      },
      close: () => Promise.all(pending),
    };
  },
  async openpanel() {
    const { OpenPanel } = await import("@openpanel/sdk");
    const openpanel = new OpenPanel({ clientId: key, apiUrl: url });
    console.error = failed;
    const pending = [];
    return {
      send: (profileId, event, properties) => pending.push(openpanel.track(event, { profileId, ...properties })),
      close: () => Promise.all(pending),
    };
  },
};
clients.posthog_v1 = clients.posthog;

const { send, close } = await clients[client]();
for (const [step, event] of EVENTS.entries()) {
  for (let visitor = 0; visitor < Number(visitors); visitor += 1) {
    send(`${run}-${visitor}`, event, properties(step));
  }
  await wait(Number(pause));
}
await close();
console.log(errors);
