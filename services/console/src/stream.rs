//! `…/stream?window=7d[&breakdown=channel]`: server-sent events. `live` with the numbers at once and whenever they
//! changed, `problem` when they cannot be read, and every 15 s `heartbeat` with the time of the latest numbers, so that
//! proxies keep the connection and pages notice a dead one. Ends when the console stops; browsers then reconnect.

use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::{Data, Path};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use runtime::Shutdown;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval_at};

use crate::api_error::ApiError;
use crate::hub::{Event, Subscription};
use crate::live::wanted;
use crate::params::{FunnelPath, Params};
use crate::routes::State;

const HEARTBEAT: Duration = Duration::from_secs(15);
/// Browsers wait this long before they reconnect.
const RECONNECT: &str = "retry: 2000\n\n";

/// The route's handler.
pub(crate) async fn stream(
    state: Data<State>,
    path: Path<FunnelPath>,
    params: Params,
) -> Result<HttpResponse, ApiError> {
    params.only(&["window", "breakdown"])?;
    let wanted = wanted(&params, state.funnel(&path)?)?;
    let subscription = state.hub.subscribe(&wanted)?;
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(events(subscription, state.hub.shutdown()).map(Ok::<_, actix_web::Error>)))
}

struct Client {
    subscription: Subscription,
    heartbeat: Interval,
    shutdown: Shutdown,
}

/// The bytes that a client is sent.
fn events(subscription: Subscription, shutdown: Shutdown) -> impl Stream<Item = Bytes> {
    let mut heartbeat = interval_at(Instant::now() + HEARTBEAT, HEARTBEAT);
    heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut client = Client { subscription, heartbeat, shutdown };
    client.subscription.events.mark_changed();
    let start = stream::once(async { Bytes::from_static(RECONNECT.as_bytes()) });
    start.chain(stream::unfold(client, next))
}

async fn next(mut client: Client) -> Option<(Bytes, Client)> {
    loop {
        let Client { subscription, heartbeat, shutdown } = &mut client;
        tokio::select! {
            () = shutdown.requested() => return None,
            changed = subscription.events.changed() => {
                changed.ok()?;
                let event = subscription.events.borrow_and_update().clone();
                if let Some(event) = event {
                    return Some((written(&event), client));
                }
            }
            _ = heartbeat.tick() => {
                let text = format!("event: heartbeat\ndata: {{\"as_of\":{}}}\n\n", subscription.as_of_ms());
                return Some((text.into(), client));
            }
        }
    }
}

fn written(event: &Event) -> Bytes {
    let (name, data) = match event {
        Event::Live(data) => ("live", data),
        Event::Problem(data) => ("problem", data),
    };
    format!("event: {name}\ndata: {data}\n\n").into()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use funnel::Plan;
    use runtime::{Metrics, Tasks};
    use tokio::sync::watch;

    use super::*;
    use crate::fake::Fake;
    use crate::hub::Hub;
    use crate::metrics::ConsoleMetrics;
    use crate::source::Wanted;

    const PLAN: &str = include_str!("../../../examples/demo/tracking-plan.toml");

    struct Setup {
        hub: Hub,
        source: Arc<Fake>,
        tasks: Tasks,
        wanted: Wanted,
        _plan: watch::Sender<Option<Arc<Plan>>>,
    }

    fn setup() -> Setup {
        let plan = Arc::new(Plan::parse("plan", PLAN).unwrap());
        let funnel = Arc::new(plan.funnel("shop", "purchase").unwrap().clone());
        let wanted = Wanted { window: funnel.rolling_windows[0].clone(), breakdown: None, funnel };
        let (sender, receiver) = watch::channel(Some(plan));
        let (source, tasks) = (Arc::new(Fake::default()), Tasks::new());
        let metrics = ConsoleMetrics::register(&Metrics::new().unwrap()).unwrap();
        let hub = Hub::new(source.clone(), receiver, tasks.clone(), Shutdown::new(), metrics);
        Setup { hub, source, tasks, wanted, _plan: sender }
    }

    async fn text(stream: &mut (impl Stream<Item = Bytes> + Unpin)) -> String {
        String::from_utf8(stream.next().await.unwrap().to_vec()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_stream_sends_a_heartbeat_every_fifteen_seconds_with_the_time_of_the_numbers() {
        let setup = setup();
        let mut stream = Box::pin(events(setup.hub.subscribe(&setup.wanted).unwrap(), setup.hub.shutdown()));
        assert_eq!(text(&mut stream).await, RECONNECT);
        assert!(text(&mut stream).await.starts_with("event: live\ndata: {\"site\":\"shop\""));
        let started = Instant::now();
        setup.source.change(|state| state.as_of_ms += 5_000);
        let beat = text(&mut stream).await;
        assert_eq!(beat, "event: heartbeat\ndata: {\"as_of\":1715731205000}\n\n");
        assert!(started.elapsed() >= Duration::from_secs(14), "{:?}", started.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn reads_end_with_the_last_client_and_begin_again_with_the_next() {
        let setup = setup();
        for _ in 0..2 {
            let first = setup.hub.subscribe(&setup.wanted).unwrap();
            let mut second = setup.hub.subscribe(&setup.wanted).unwrap();
            second.events.changed().await.unwrap();
            assert_eq!(setup.tasks.counts()["console stream"].running, 1, "one task for both");
            drop((first, second));
            tokio::time::timeout(Duration::from_secs(5), async {
                while setup.tasks.counts()["console stream"].running > 0 {
                    tokio::time::advance(Duration::from_millis(100)).await;
                }
            })
            .await
            .expect("nobody listens: no more reads");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn clients_are_bounded() {
        let setup = setup();
        let all: Vec<_> =
            (0..crate::hub::MAX_CLIENTS).map(|_| setup.hub.subscribe(&setup.wanted).unwrap()).collect();
        let refused = setup.hub.subscribe(&setup.wanted).err().expect("refused");
        assert_eq!(refused.code(), "too_many_streams");
        drop(all);
        assert!(setup.hub.subscribe(&setup.wanted).is_ok());
    }
}
