"""Sends three events of each visitor with one vendor's client, as a customer's program would:
python3 send.py CLIENT URL KEY RUN VISITORS PAUSE_MS
The last line it prints is the number of errors that the client told."""

import sys
import time
from urllib.parse import urlparse

client, url, key, run, visitors, pause = sys.argv[1:]
EVENTS = ["offer_viewed", "email_given", "bought"]
errors = 0


def failed(*what):
    global errors
    errors += 1
    print(client, what, file=sys.stderr)


def properties(step):
    return {
        "step": step,
        "run": run,
        "text": 'Grüße 🎉 "x" \\ \u2028 <b>',
        "price": 19.99,
        "nested": {"list": [1, 2, {"deep": None}]},
        "flag": True,
        "empty": "",
    }


def segment():
    from segment.analytics.client import Client

    analytics = Client(key, host=url, on_error=failed, upload_size=5, upload_interval=0.2, gzip=True)
    send = lambda visitor, event, properties: analytics.track(anonymous_id=visitor, event=event, properties=properties)
    return send, lambda: (analytics.flush(), analytics.join())


def rudderstack():
    from rudderstack.analytics.client import Client

    analytics = Client(key, host=url, on_error=failed, upload_size=5, upload_interval=0.2)
    send = lambda visitor, event, properties: analytics.track(
        anonymous_id=visitor, event=event, properties=properties
    )
    return send, lambda: (analytics.flush(), analytics.join())


def posthog(**options):
    from posthog import Posthog

    analytics = Posthog(key, host=url, on_error=failed, flush_at=5, flush_interval=0.2, **options)
    send = lambda visitor, event, properties: analytics.capture(event, distinct_id=visitor, properties=properties)
    return send, lambda: analytics.shutdown()


def snowplow():
    from snowplow_tracker import Emitter, SelfDescribing, SelfDescribingJson, Subject, Tracker

    address = urlparse(url)
    emitter = Emitter(address.hostname, protocol="http", port=address.port, batch_size=5, max_retry_delay_seconds=1)
    tracker = Tracker(namespace="shop", emitters=emitter, app_id=key)

    def send(visitor, event, properties):
        what = SelfDescribingJson(f"iglu:example.shop/{event}/jsonschema/1-0-0", properties)
        tracker.track(SelfDescribing(event_json=what, event_subject=Subject().set_domain_user_id(visitor)))

    return send, lambda: tracker.flush()


clients = {
    "segment": segment,
    "rudderstack": rudderstack,
    "posthog": posthog,
    "posthog_gzip": lambda: posthog(gzip=True),
    "posthog_v1": posthog,
    "snowplow": snowplow,
}
send, close = clients[client]()
for step, event in enumerate(EVENTS):
    for visitor in range(int(visitors)):
        send(f"{run}-{visitor}", event, properties(step))
    time.sleep(int(pause) / 1000)
close()
print(errors)
