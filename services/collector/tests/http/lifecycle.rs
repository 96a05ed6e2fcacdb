//! Starting, following the plan, and stopping.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::support::{event, plan, read, start};

#[tokio::test]
async fn keys_of_a_new_plan_count_from_then_on() {
    let running = start().await;
    let mut next = plan();
    next.sites[0].write_keys = vec!["wk2".into()];
    running.plan.send_replace(Some(Arc::new(next)));
    let deadline = Instant::now() + Duration::from_secs(10);
    while read(running.post("/v1/track", event("a")).send().await.unwrap()).await.0 != 401 {
        assert!(Instant::now() < deadline);
    }
    let request = running.client.post(format!("{}/v1/track?key=wk2", running.url)).body(event("a"));
    assert_eq!(read(request.send().await.unwrap()).await.0, 200);
}

#[tokio::test]
async fn a_stop_waits_for_requests_in_flight_and_takes_no_more() {
    let running = start().await;
    running.log.hold_receipts();
    let waiting = running.post("/v1/track", event("a")).send();
    let stop = async {
        running.until("published", || !running.events().is_empty()).await;
        running.shutdown.request();
        let refused = || std::net::TcpStream::connect(running.address).is_err();
        running.until("closed", refused).await;
        assert!(!running.served.is_finished());
        running.log.answer_held(Ok(()));
    };
    let (answer, ()) = tokio::join!(waiting, stop);
    assert_eq!(answer.unwrap().status(), 200);
    let ended = Instant::now();
    running.until("ended", || running.served.is_finished()).await;
    assert!(ended.elapsed() < Duration::from_secs(5));
    running.assert_outcomes(1, 0, 0);
}

#[tokio::test]
async fn an_idle_connection_does_not_hold_up_the_stop() {
    let running = start().await;
    running.ok("/v1/track", event("a")).await;
    running.shutdown.request();
    let asked = Instant::now();
    running.until("ended", || running.served.is_finished()).await;
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?}", asked.elapsed());
}
