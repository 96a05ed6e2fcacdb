//! The text of a tracking plan, which comes over HTTP and from the log.

use funnel::plan::{Plan, PlanMatcher, limits};

use crate::corpus::Corpus;

const HORIZON_MS: i64 = 86_400_000;

pub(crate) fn check(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let read = Plan::parse("plan.toml", text);
    assert_eq!(read, Plan::parse("plan.toml", text), "another reading, another plan");
    match read {
        Ok(plan) => judge(&plan),
        Err(problems) => {
            assert!(!problems.is_empty(), "refused without a reason");
            let lines = text.lines().count().max(1);
            for problem in problems {
                assert!(
                    problem.line <= lines + 1 && !problem.message.is_empty(),
                    "{problem} of {lines} lines"
                );
            }
        }
    }
}

/// What passes needs no more checks anywhere else.
fn judge(plan: &Plan) {
    assert!((1..=limits::MAX_SITES).contains(&plan.sites.len()) && plan.funnels.len() <= limits::MAX_FUNNELS);
    for funnel in &plan.funnels {
        assert!(plan.site(&funnel.site).is_some(), "{} is of no site", funnel.id);
        assert!((limits::MIN_STEPS..=limits::MAX_STEPS).contains(&funnel.steps.len()));
        assert!((1..=limits::MAX_ROLLING_WINDOWS).contains(&funnel.rolling_windows.len()));
        assert!(funnel.breakdowns.len() <= limits::MAX_BREAKDOWNS);
        for window in funnel.rolling_windows.iter().chain([&funnel.conversion_window]) {
            assert!((limits::MIN_WINDOW_MS..=limits::MAX_WINDOW_MS).contains(&window.ms), "{window:?}");
        }
        for id in [&funnel.site, &funnel.id].into_iter().chain(funnel.steps.iter().map(|step| &step.id)) {
            assert!((1..=limits::MAX_ID_BYTES).contains(&id.len()), "{id:?}");
        }
        assert_eq!(funnel.definition_hash(HORIZON_MS), funnel.definition_hash(HORIZON_MS));
    }
    let matcher = PlanMatcher::new(plan);
    for funnel in &plan.funnels {
        let entry = funnel.steps.iter().flat_map(|step| &step.events);
        entry.for_each(|event| assert!(!matcher.funnels_for(&funnel.site, event).is_empty(), "{event}"));
    }
}

pub(crate) fn seeds(corpus: &Corpus) -> Vec<Vec<u8>> {
    corpus.plans()
}
