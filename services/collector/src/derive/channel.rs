//! `channel`: how the visitor came, judged in this order: the link's medium, a click id, the link's source, the
//! referrer; `direct` where there is none of these and `unassigned` where a link was tagged with unknown words.

use super::campaign::Campaign;
use super::channels::{MEDIA, PAID_MEDIA, Place, SOURCES};

/// One of [`super::channels::CHANNELS`]. `referrer` and `page` are hosts, empty if unknown.
pub(crate) fn channel(campaign: &Campaign<'_>, referrer: &str, page: &str) -> &'static str {
    let from_medium = || by_medium(&campaign.medium, &campaign.source);
    let from_source = || place_of_source(&campaign.source).map(organic);
    from_medium().or(campaign.click_channel).or_else(from_source).unwrap_or_else(|| {
        let foreign = !referrer.is_empty() && without_www(referrer) != without_www(page);
        if foreign {
            place_of_host(referrer).map_or("referral", organic)
        } else if campaign.source.is_empty() && campaign.medium.is_empty() && campaign.name.is_empty() {
            "direct"
        } else {
            "unassigned"
        }
    })
}

fn by_medium(medium: &str, source: &str) -> Option<&'static str> {
    if medium.is_empty() {
        return None;
    }
    if PAID_MEDIA.iter().any(|paid| medium.eq_ignore_ascii_case(paid)) {
        return Some(match place_of_source(source) {
            Some(Place::Social) => "paid_social",
            Some(Place::Video) => "video",
            _ => "paid_search",
        });
    }
    MEDIA.iter().find(|(known, _)| medium.eq_ignore_ascii_case(known)).map(|(_, channel)| *channel)
}

fn organic(place: Place) -> &'static str {
    match place {
        Place::Search => "organic",
        Place::Social => "social",
        Place::Video => "video",
        Place::Email => "email",
        Place::Assistant => "assistant",
    }
}

/// `utm_source` is a host or, more often, the name of one.
fn place_of_source(source: &str) -> Option<Place> {
    if source.is_empty() {
        return None;
    }
    let source = source.to_ascii_lowercase();
    if source == "newsletter" || source == "email" {
        return Some(Place::Email);
    }
    let named = |host: &str| host.split_once('.').is_some_and(|(name, _)| name.len() > 1 && name == source);
    place_of_host(&source).or_else(|| SOURCES.iter().find(|(host, _)| named(host)).map(|(_, place)| *place))
}

fn place_of_host(host: &str) -> Option<Place> {
    let matches = |known: &str| match known.strip_suffix('*') {
        Some(name) => without_www(host).starts_with(name),
        None => host.strip_suffix(known).is_some_and(|before| before.is_empty() || before.ends_with('.')),
    };
    SOURCES.iter().find(|(known, _)| matches(known)).map(|(_, place)| *place)
}

fn without_www(host: &str) -> &str {
    host.strip_prefix("www.").unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::super::address::Address;
    use super::super::channels::{CHANNELS, CLICK_IDS};
    use super::*;

    fn of(source: &str, medium: &str, referrer: &str) -> &'static str {
        let campaign = Campaign { source: source.into(), medium: medium.into(), ..Campaign::default() };
        channel(&campaign, &Address::of(referrer).host(), "shop.example")
    }

    #[test]
    fn a_visitor_is_put_into_the_channel_that_people_expect() {
        let cases = [
            (("", "", ""), "direct"),
            (("", "", "https://www.shop.example/cart"), "direct"),
            (("", "", "https://www.google.co.uk/"), "organic"),
            (("", "", "https://mail.google.com/"), "email"),
            (("", "", "https://m.facebook.com/"), "social"),
            (("", "", "https://notfacebook.com/"), "referral"),
            (("", "", "https://blog.example/post"), "referral"),
            (("google", "cpc", ""), "paid_search"),
            (("facebook", "CPC", ""), "paid_social"),
            (("Facebook", "", ""), "social"),
            (("may", "Email", "https://www.google.com/"), "email"),
            (("newsletter", "", ""), "email"),
            (("poster", "street", ""), "unassigned"),
        ];
        for ((source, medium, referrer), expected) in cases {
            assert_eq!(of(source, medium, referrer), expected, "{source} {medium} {referrer}");
        }
    }

    #[test]
    fn tables_name_only_listed_channels() {
        let named = MEDIA.iter().chain(CLICK_IDS).map(|(_, channel)| *channel);
        let places = SOURCES.iter().map(|(_, place)| organic(*place));
        for channel in named.chain(places) {
            assert!(CHANNELS.contains(&channel), "{channel}");
        }
    }
}
