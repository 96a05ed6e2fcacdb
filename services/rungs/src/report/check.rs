//! What `rungs check` says about a plan without mistakes: the coach's advice, then what the plan will cost.

use funnel::Plan;
use funnel::plan::{Advice, Cost, Funnel};

use super::columns::{Column, render as lines};
use crate::plural::plural;

/// The whole text.
pub(crate) fn render(plan: &Plan) -> String {
    let (sites, funnels) = (plan.sites.len() as u64, plan.funnels.len() as u64);
    let mut text = format!("The plan is right: {}, {}.\n", plural(sites, "site"), plural(funnels, "funnel"));
    // The last advice is the cost in a sentence, which the table below tells by funnel.
    let mut advice = plan.coach();
    let cost = advice.pop();
    if !advice.is_empty() {
        text.push_str("\nAdvice:\n");
        text.extend(advice.iter().map(|advice: &Advice| format!("  {advice}\n")));
    }
    if funnels > 0 {
        text.push_str(&format!("\nCost:\n{}", indented(&cost_table(plan))));
        text.push_str(&cost.map(|cost| format!("\n{cost}\n")).unwrap_or_default());
    }
    text
}

fn cost_table(plan: &Plan) -> String {
    let cell = |cell: fn(&Cost) -> String| plan.funnels.iter().map(move |funnel| cell(&funnel.cost()));
    let name = |funnel: &Funnel| format!("{}/{}", funnel.site, funnel.id);
    lines(&[
        Column::left("funnel", plan.funnels.iter().map(name)),
        Column::right("Prometheus series", cell(|cost| cost.prometheus_series.to_string())),
        Column::right(
            "history rows a minute and partition",
            cell(|cost| {
                format!("{} to {}", cost.history_rows_per_minute, cost.history_rows_per_minute_at_most)
            }),
        ),
        Column::right("bytes a visitor", cell(|cost| cost.bytes_per_visitor.to_string())),
    ])
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("  {line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_plan_is_told_its_cost_and_what_could_be_better() {
        let text = "[[sites]]\nid = \"shop\"\nwrite_keys = [\"wk\"]\n[[funnels]]\nsite = \"shop\"\nid = \"buy\"\n\
            conversion_window = \"7d\"\nrolling_windows = [\"7d\"]\n[[funnels.steps]]\nid = \"view\"\nevent = \"view\"\n\
            [[funnels.steps]]\nid = \"buy\"\nevent = \"buy\"\n";
        let plan = Plan::parse("plan.toml", text).unwrap();
        let rendered = render(&plan);
        let cost = plan.cost();
        assert!(
            rendered.starts_with(
                "The plan is right: 1 site, 1 funnel.\n\nAdvice:\n  shop/buy: no step names its offer"
            ),
            "{rendered}"
        );
        assert!(rendered.contains("\nCost:\n  funnel    Prometheus series"), "{rendered}");
        assert!(rendered.contains(&format!("  shop/buy  {:>17}", cost.prometheus_series)), "{rendered}");
    }
}
