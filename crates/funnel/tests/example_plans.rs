//! The plans under `examples/` are valid, say what their comments say, and can be put together.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, clippy::panic)]

use funnel::Plan;

fn plan(example: &str) -> Plan {
    let path = format!("{}/../../examples/{example}/tracking-plan.toml", env!("CARGO_MANIFEST_DIR"));
    Plan::parse(&path, &std::fs::read_to_string(&path).unwrap())
        .unwrap_or_else(|problems| panic!("{problems:#?}"))
}

#[test]
fn the_demo_is_the_shop_and_the_ladder() {
    let (mut both, ladder) = (plan("shop"), plan("ladder"));
    both.sites.extend(ladder.sites);
    both.funnels.extend(ladder.funnels);
    assert_eq!(plan("demo"), both);
}

#[test]
fn the_shop_counts_five_steps_by_channel() {
    let shop = plan("shop");
    let funnel = shop.funnel("shop", "purchase").unwrap();
    let steps: Vec<_> = funnel.steps.iter().map(|step| (step.id.as_str(), step.events[0].as_str())).collect();
    assert_eq!(
        steps,
        [
            ("view", "product_view"),
            ("cart", "add_to_cart"),
            ("shipping", "shipping_details"),
            ("payment", "payment_details"),
            ("purchase", "purchase"),
        ]
    );
    let windows: Vec<_> = funnel.rolling_windows.iter().map(|window| window.label.as_str()).collect();
    assert_eq!(windows, ["1h", "24h", "7d", "28d"]);
    assert_eq!(funnel.breakdowns[0].values.len(), 5);
}

#[test]
fn the_examples_follow_the_advice_they_give() {
    for advice in plan("demo").coach() {
        let kind = advice.text.split(' ').take(2).collect::<Vec<_>>().join(" ");
        assert!(["rolling windows", "it will"].contains(&kind.as_str()), "{advice}");
    }
}
